"""What an evaluation is given, and what it says of what cannot be had."""

from collections.abc import Callable
from pathlib import Path

import pytest

from flows.evaluation_inputs import (
    evaluation_config,
    read_prompts,
    text_scorer,
    without_photos,
)
from flows.params import EvaluateParams
from hcp.evaluation.comparison import Pictures
from storage.errors import HcpError
from storage.versions import publish_version
from tests.hcp.evaluation.reports import arm, report_of
from tests.hcp.samples import make_sample


def test_prompts_are_the_non_empty_lines(tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text("a man\n\n  two women dancing  \n")
    assert read_prompts(str(path)) == ("a man", "two women dancing")


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xff\xfe\xff"])
def test_a_file_without_prompts_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_bytes(content)
    with pytest.raises(HcpError, match=r"prompts\.txt"):
        read_prompts(str(path))


def test_a_missing_prompts_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(HcpError, match=r"gone\.txt"):
        read_prompts(str(tmp_path / "gone.txt"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a man\na red car\na man\n", r"prompts.*prompts\.txt: .*'a man' is given 2 times"),
        ("a red car\na dog running\n", r"prompts.*prompts\.txt: .*none of the 2 prompts has a hu"),
    ],
)
def test_prompts_that_are_not_enough_are_refused_by_name(
    content: str, said: str, tmp_path: Path
) -> None:
    (tmp_path / "prompts.txt").write_text(content)
    params = EvaluateParams(
        base="embedded", checkpoint="c", out=str(tmp_path), prompts=str(tmp_path / "prompts.txt")
    )
    with pytest.raises(HcpError, match=said):
        evaluation_config(params)


def test_a_dataset_without_held_out_photos_is_the_reason(
    tmp_path: Path, fill_root: Callable[[str], list[str]]
) -> None:
    version = publish_version(str(tmp_path), fill_root(str(tmp_path)), config={})
    nothing = report_of(base=arm(0.4), candidate=arm(0.5))
    pictures = Pictures(prompts=(), seeds=(), images={}, people={})
    for dataset, why in ((None, "no dataset is given"), (version, f"{version.id} has no held-out")):
        (measure,) = without_photos(dataset, [])
        assert why in measure(nothing, pictures).not_measured["attention_share"]
    assert without_photos(version, [make_sample(0)]) == []


def test_a_text_scorer_that_cannot_be_had_leaves_its_score_out_and_says_why(tmp_path: Path) -> None:
    assert text_scorer(None, "cpu") == (None, [])
    scorer, (measure,) = text_scorer(str(tmp_path / "no-clip"), "cpu")
    assert scorer is None
    pictures = Pictures(prompts=(), seeds=(), images={}, people={})
    said = measure(report_of(base=arm(0.4), candidate=arm(0.5)), pictures).not_measured
    assert "no-clip" in said["text_score"]
