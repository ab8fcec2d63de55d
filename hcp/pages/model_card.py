"""The model card: README.md of an adapter, with the front matter that the Hugging Face hub reads.

It lies beside the adapter's files and outside their digest, so that figures can be added to it.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard, ModelCardData

from storage.hub import is_hub_id

PLACE = "path/to/this/adapter"
"""Stands in a card where the adapter's own name will stand once it has one."""
NOT_CHOSEN = "other"
_TEMPLATE = Path(__file__).parent / "templates" / "model_card.md.j2"
_EVALUATION = re.compile(r"^## Evaluation\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class CardFacts:
    """What is told about an adapter."""

    base: str | None  # hub id or path
    method: str = "hcp"
    dataset_version: str | None = None
    step: int = 0
    license: str = NOT_CHOSEN  # as the hub names licences
    losses: Mapping[str, tuple[float, float]] = field(default_factory=dict[str, Any])
    """Mean of the first and of the last tenth of the steps, by the loss's name."""
    settings: Mapping[str, object] = field(default_factory=dict[str, Any])


def model_card(facts: CardFacts) -> str:
    """The card. Of local paths only the last part is told: a card is read elsewhere."""
    on_hub = facts.base is not None and is_hub_id(facts.base)
    base = facts.base and (facts.base if on_hub else _last(facts.base))
    chosen = facts.license != NOT_CHOSEN
    data = ModelCardData(
        library_name="diffusers",
        pipeline_tag="text-to-image",
        base_model=facts.base if on_hub else None,
        license=facts.license,
        license_name=None if chosen else "not-chosen",
        tags=["hcp", facts.method.partition("+")[0], "text-to-image", "diffusers", "people"],
    )
    card = ModelCard.from_template(
        data,
        template_path=str(_TEMPLATE),
        title=f"{_title(facts.method)} for {base or 'a Stable Diffusion base'}",
        layers=facts.method.startswith("hcp"),
        base=base,
        method=facts.method,
        dataset_version=facts.dataset_version,
        step=facts.step,
        licence=facts.license
        if chosen
        else "not chosen by its trainer; the base's own applies too",
        losses=facts.losses,
        settings=json.dumps(_public(facts.settings), indent=1) if facts.settings else "",
        place=PLACE,
    )
    return str(card).rstrip() + "\n"


def named(card: str, name: str) -> str:
    """The card with the adapter's name, such as its id on the hub, in its examples."""
    return card.replace(PLACE, name)


def with_evaluation(
    card: str, rows: Sequence[Mapping[str, object]], *, verdict: str, judge: str
) -> str:
    """The card with the figures of an evaluation in place of those before.

    Args:
        rows: one per measure, with one column per model.
        verdict: what the gate said.
        judge: the model that judged people.
    """
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = [
        "## Evaluation\n",
        f"{verdict.rstrip('.')}. People judged by {_last(judge)}; measured by `hcp evaluate`.\n",
        f"| {' | '.join(columns)} |",
        "|---" * len(columns) + "|",
        *(f"| {' | '.join(_shown(row.get(name)) for name in columns)} |" for row in rows),
    ]
    section = "\n".join(lines) + "\n"
    if _EVALUATION.search(card):
        return _EVALUATION.sub(lambda _: section, card, count=1)
    return f"{card.rstrip()}\n\n{section}"


def _shown(value: object) -> str:
    return "" if value is None else str(value).replace("|", "\\|")


def _title(method: str) -> str:
    return "HcP adapter" if method.startswith("hcp") else f"Weights of the method {method}"


def _public(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _public(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_public(one) for one in value]
    return _last(value) if isinstance(value, str) else value


def _last(text: str) -> str:
    return (
        text.rstrip("/").rpartition("/")[2] if text.startswith(("/", "~")) or ":/" in text else text
    )
