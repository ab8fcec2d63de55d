"""The compare page from folders and from two models: what is written, kept and refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from demo.embedded import SD_DIR
from flows.compare_page import CompareJob, write_compare_page
from hcp import HcpAdapter, HcpConfig
from hcp.base import load_base
from hcp.evaluation.compare_key import read_key
from hcp.pages.votes import ComparePageConfig
from storage.errors import HcpError


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Any]:
    """Two folders of four pictures; one is the same in both."""
    for n, letter in enumerate("ab"):
        (tmp_path / letter).mkdir()
        for i in range(4):
            level = 0 if i == 3 else 100 * n + i
            picture = np.full((8, 8, 3), level, dtype=np.uint8)
            Image.fromarray(picture).save(tmp_path / letter / f"{i}.png")
    return {"a_pictures": tmp_path / "a", "b_pictures": tmp_path / "b", "out": tmp_path / "p.html"}


def test_two_folders_make_a_page_and_a_key(folders: dict[str, Any], tmp_path: Path) -> None:
    config = ComparePageConfig(limit=2, repeats=0)
    written = write_compare_page(CompareJob(**folders, b="the new one", page=config))
    key = read_key((tmp_path / "p.key.json").read_bytes(), "k")
    assert written.page == str(tmp_path / "p.html")
    assert written.key == str(tmp_path / "p.key.json")
    assert (key.a, key.b) == (str(tmp_path / "a"), "the new one")
    assert key.page in (tmp_path / "p.html").read_text()
    assert written.notes[-1] == "2 more pairs are not on the page: it takes 2 (limit)"


def test_the_key_of_an_earlier_page_is_not_lost(folders: dict[str, Any], tmp_path: Path) -> None:
    write_compare_page(CompareJob(**folders))
    before = (tmp_path / "p.key.json").read_bytes()
    with pytest.raises(HcpError, match=r"the key of an earlier page.*--overwrite"):
        write_compare_page(CompareJob(**folders))
    write_compare_page(CompareJob(**folders, overwrite=True))
    assert (tmp_path / "p.key.json").read_bytes() == before  # the same pictures, the same page


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "give --a, --b, --base, --prompts to draw the pictures, or --a-pictures"),
        ({"a": "base", "b": "c", "base": "embedded"}, "give --prompts to draw"),
        ({"a_pictures": Path("a")}, "give both --a-pictures and --b-pictures"),
        ({"a_pictures": Path("a"), "b_pictures": Path("a")}, "the same folder"),
        ({"a_pictures": Path("a"), "b_pictures": Path("b"), "base": "x"}, "leave --base out"),
        ({"a": "c", "b": "c", "base": "embedded", "prompts": "p"}, "a and b are the same, c"),
        ({"a": "b", "b": "c", "base": "e", "prompts": "p", "seeds": (1, 1)}, "each once"),
        ({"a": "b", "b": "c", "base": "e", "prompts": "p"}, "prompts p: not a readable"),
        ({"out": Path("page.png")}, r"expected a name ending in \.html, got page\.png"),
    ],
)
def test_what_does_not_go_together_is_told(
    fields: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(HcpError, match=message):
        write_compare_page(CompareJob(**({"out": tmp_path / "p.html"} | fields)))


@pytest.mark.slow
def test_base_and_adapter_draw_the_same_prompts_and_seeds(tmp_path: Path) -> None:
    pipeline = load_base(SD_DIR)
    adapter = HcpAdapter.create(pipeline.unet, HcpConfig(width=8, gamma=5.0))
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.copy_(
                torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0))
            )
    adapter.save_pretrained(tmp_path / "adapter")
    (tmp_path / "prompts.txt").write_text("a man running\na red car\n")
    job: Callable[..., CompareJob] = lambda **more: CompareJob(  # noqa: E731
        a="base", b=str(tmp_path / "adapter"), base="embedded", steps=1, device="cpu",
        prompts=str(tmp_path / "prompts.txt"), seeds=(0, 1), out=tmp_path / "p.html", **more,
    )  # fmt: skip
    written = write_compare_page(job())
    key = read_key(Path(written.key).read_bytes(), "k")
    assert key.a == "base embedded"
    # The car is the same to the bit: no human word.
    assert sorted((pair.prompt, pair.name) for pair in key.pairs) == [
        ("a man running", "seed 0"), ("a man running", "seed 1"),
    ]  # fmt: skip
    assert "2 pairs left out: their pictures are the same to the bit" in written.notes
