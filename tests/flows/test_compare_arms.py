"""The compare page of an evaluation: which pictures it takes, and why there may be none."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flows.compare_arms import page_of_arms
from flows.compare_page import beside_report, save_page
from flows.params import EvaluateParams
from hcp.evaluation.compare_key import read_key
from hcp.evaluation.comparison import Pictures
from hcp.pages.votes import ComparePage

PROMPTS = ("a man running", "a red car", "a woman dancing")


def params(**fields: Any) -> EvaluateParams:
    given = {"base": "embedded", "out": "/o", "checkpoint": "c", "compare_page": True}
    return EvaluateParams(**(given | fields))


@pytest.fixture
def pictures() -> Pictures:
    """Two seeds of each prompt; the candidate's are others."""
    images = np.random.default_rng(0).integers(0, 256, (2, 6, 16, 16, 3), dtype=np.uint8)
    prompts = tuple(prompt for prompt in PROMPTS for _ in range(2))
    return Pictures(
        prompts=prompts, seeds=(4, 7) * 3, people={},
        images={"base": list(images[0]), "candidate": list(images[1])},
    )  # fmt: skip


def test_people_are_compared_each_prompt_once_before_any_is_twice(pictures: Pictures) -> None:
    page = page_of_arms(params(compare={"limit": 3, "repeats": 0}), pictures)
    assert isinstance(page, ComparePage)
    assert (page.key.a, page.key.b) == ("base embedded", "c")
    shown = sorted((pair.name, pair.prompt) for pair in page.key.pairs)
    assert shown == [
        ("seed 4", "a man running"), ("seed 4", "a woman dancing"), ("seed 7", "a man running"),
    ]  # fmt: skip


def test_it_is_written_beside_the_report_and_never_over_another(
    pictures: Pictures, tmp_path: Path
) -> None:
    for limit in (3, 4, 4):
        page = page_of_arms(params(compare={"limit": limit}), pictures)
        assert isinstance(page, ComparePage)
        written = save_page(page, *beside_report(page, str(tmp_path)))
        assert read_key(Path(written.key).read_bytes(), "k") == page.key
        assert Path(written.page).read_text() == page.html
    assert len(list(tmp_path.iterdir())) == 4


def test_none_is_made_unasked_and_none_of_equal_pictures(pictures: Pictures) -> None:
    assert page_of_arms(params(compare_page=False), pictures) is None
    same = Pictures(
        prompts=pictures.prompts, seeds=pictures.seeds, people={},
        images={"base": pictures.images["base"], "candidate": pictures.images["base"]},
    )  # fmt: skip
    assert "all 4 pairs of pictures are the same" in str(page_of_arms(params(), same))
