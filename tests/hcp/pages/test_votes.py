"""The compare page as a file: blind, whole, the same for the same pictures, and what it refuses."""

import base64
import hashlib
import io
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hcp.evaluation.compare_key import PLACES
from hcp.pages.votes import ComparePage, ComparePageConfig, PicturePair, compare_page
from storage.errors import HcpError
from tests.hcp.pages.compare_pairs import NAMES, make_pairs
from tests.hcp.pages.test_report import Page


def page_of(pairs: Sequence[PicturePair], **config: Any) -> ComparePage:
    return compare_page(pairs, **NAMES, config=ComparePageConfig(**config))


def data_of(page: ComparePage) -> dict[str, Any]:
    found = re.search(r'id="data">(.*?)</script>', page.html, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def colours(row: dict[str, Any]) -> list[str]:
    """Whose the two pictures of a pair are, by their colour."""
    means: list[np.ndarray] = []
    for uri in row["pictures"]:
        data = base64.b64decode(uri.removeprefix("data:image/webp;base64,"))
        means.append(np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).mean(axis=(0, 1)))
    return ["a" if mean[0] > mean[2] else "b" for mean in means]


def test_the_key_alone_tells_whose_a_picture_is() -> None:
    page = page_of(make_pairs(60))
    rows, key = {row["id"]: row for row in data_of(page)["pairs"]}, page.key
    assert key.a == NAMES["a"]
    assert [pair.id for pair in key.pairs] == list(rows)
    for pair in key.pairs:
        assert colours(rows[pair.id])[PLACES.index(pair.b)] == "b"
        assert rows[pair.id]["prompt"] == pair.prompt
        assert rows[pair.id].keys() == {"id", "prompt", "ratio", "pictures"}
    first = sum(pair.b == "first" for pair in key.pairs)
    assert 15 <= first <= 45  # a fair coin leaves this once in 20,000 pages
    order = [int(pair.prompt.split()[-1]) for pair in key.pairs]
    assert order != sorted(order)
    for word in (*NAMES.values(), "seed 0", "seed 1", "candidate"):
        assert word not in page.html


def test_the_page_is_one_file_that_loads_nothing() -> None:
    html = page_of(make_pairs(2), question="Which <b>is</b> better & why?").html
    tags = Page(html).tags
    assert not [a for _, a in tags if {"src", "href", "style", "onclick"} & a.keys() and
                a.get("href") != "data:,"]  # fmt: skip
    policy = next(str(a["content"]) for _, a in tags if a.get("http-equiv"))
    assert "default-src 'none'" in policy
    for kind in ("style", "script"):
        text = re.findall(rf"<{kind}>(.*?)</{kind}>", html, re.DOTALL)
        assert len(text) == 1
        digest = base64.b64encode(hashlib.sha256(text[0].encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert "Which &lt;b&gt;is&lt;/b&gt; better &amp; why?" in html
    assert not re.search(r"https?://", html)


def test_a_prompt_cannot_end_the_data() -> None:
    pairs = [replace(pair, prompt="</script><script>alert(1)</script>") for pair in make_pairs(2)]
    page = page_of(pairs)
    assert "<script>alert" not in page.html
    assert data_of(page)["pairs"][0]["prompt"] == "</script><script>alert(1)</script>"


def test_the_same_pictures_give_the_same_page_and_other_ones_another() -> None:
    pairs = make_pairs(4)
    page = page_of(pairs)
    assert page_of(pairs) == page
    changed = pairs[0].a.copy()
    changed[0, 0, 0] ^= 1
    others = [
        page_of([replace(pairs[0], a=changed), *pairs[1:]]),
        page_of([replace(pairs[0], prompt="other"), *pairs[1:]]),
        page_of(pairs, question="Which is nicer?"),
        page_of(pairs, repeats=0),
        compare_page(pairs, a="x", b="y"),
    ]
    assert len({each.key.page for each in (page, *others)}) == 6


def test_pictures_that_are_the_same_are_left_out_and_told() -> None:
    pairs = make_pairs(6)
    pairs[1:4] = [replace(pair, b=pair.a.copy()) for pair in pairs[1:4]]
    page = page_of(pairs, repeats=0)
    assert (page.n_pairs, page.n_same) == (3, 3)
    assert page.notes == ("3 pairs left out: their pictures are the same to the bit",)
    with pytest.raises(HcpError, match="all 3 pairs of pictures are the same to the bit"):
        page_of(pairs[1:4])
    with pytest.raises(HcpError, match="there is no pair of pictures"):
        page_of([])


def test_no_more_pairs_are_drawn_than_are_needed() -> None:
    endless = iter(make_pairs(2) * 50)
    assert page_of(endless, limit=3).n_pairs == 3  # type: ignore[arg-type]
    assert len(list(endless)) == 97


def test_repeats_are_fewer_on_a_small_page_and_checks_look_like_pairs() -> None:
    page = page_of(make_pairs(6), checks=2)
    assert data_of(page)["repeats"] == 2
    assert "2 pairs are shown twice, not 8: the page has few pairs" in page.notes
    checks = [pair for pair in page.key.pairs if pair.intact is not None]
    rows = {row["id"]: row for row in data_of(page)["pairs"]}
    assert len(checks) == 2
    assert len(rows) == 8
    for check in checks:
        assert len(set(colours(rows[check.id]))) == 1
        assert rows[check.id].keys() == rows[page.key.pairs[0].id].keys()


def test_pictures_of_other_shapes_and_prompts_that_are_missing_are_told() -> None:
    pairs = make_pairs(5)
    pairs[0] = replace(pairs[0], b=pairs[0].b[:12], prompt="")
    notes = page_of(pairs, repeats=0).notes
    assert "in 1 pairs the pictures differ in shape" in notes[0]
    assert "1 pairs have no prompt" in notes[1]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"question": " "}, "question is empty"),
        ({"limit": 0}, "limit >= 1"),
        ({"repeats": -1}, "repeats >= 0"),
        ({"max_px": 8}, "max_px >= 32"),
        ({"quality": 0}, "quality in 1 to 100"),
    ],
)
def test_odd_settings_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ComparePageConfig(**fields)


def test_the_settings_load_neither_torch_nor_jinja2() -> None:
    code = "import hcp.pages.votes, sys; assert not {'torch', 'jinja2'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
