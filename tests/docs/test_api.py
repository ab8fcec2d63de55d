"""The API reference holds the public names, and they are the ones that users rely on."""

import re
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


PUBLIC = {
    "hcp": {"HcpAdapter", "HcpConfig"},
    "hcp.tokens": {
        "SPAN_KINDS", "TOKENS_VERSION", "human_mask_of_ids", "human_spans", "human_token_kinds",
        "human_token_mask",
    },
    "hcp.training.methods": {"Method", "Terms", "Trained", "load_trained", "make_method"},
    "storage": {
        "DatasetVersion", "open_source", "open_version", "publish_version", "resolve_source",
    },
    "flows": {
        "ablate_hcp", "cache_dataset", "evaluate_hcp", "rebuild_and_train", "rebuild_dataset",
        "retry_failed", "train_hcp",
    },
}  # fmt: skip
"""A name that goes or changes is a line in the changelog and another major version."""

PAGES = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs/api").glob("*.md"))
SHOWN = re.findall(r"^::: ([\w.]+)$", PAGES, re.MULTILINE)


@pytest.mark.parametrize("module", PUBLIC)
def test_the_public_names_are_pinned_and_shown(module: str) -> None:
    assert set(import_module(module).__all__) == PUBLIC[module]
    shown = {f"{module}.{name}" for name in PUBLIC[module] if not name.isupper()}
    assert shown <= set(SHOWN)


@pytest.mark.parametrize("name", SHOWN)
def test_what_is_shown_says_what_it_is(name: str) -> None:
    home, _, last = name.rpartition(".")
    found = getattr(import_module(home), last, None) or import_module(name)
    assert (getattr(found, "fn", found).__doc__ or "").strip()
