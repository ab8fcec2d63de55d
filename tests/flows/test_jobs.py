"""Small decisions of an evaluation."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from demo.embedded import SD_DIR
from flows.jobs import (
    EvaluationJob,
    evaluation_config,
    read_prompts,
    run_evaluation,
    without_photos,
)
from flows.params import EvaluateParams
from hcp import HcpAdapter, HcpConfig
from hcp.base import load_base
from hcp.evaluation.comparison import Pictures
from hcp.evaluation.results import EvaluationConfig
from priors.config import JudgeConfig
from storage.errors import CheckpointError, HcpError
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


@pytest.mark.slow
def test_an_evaluation_on_a_fine_tune_of_the_base(tmp_path: Path) -> None:
    base = load_base(SD_DIR)
    HcpAdapter.create(base.unet, HcpConfig(width=8)).save_pretrained(tmp_path / "adapter")
    with torch.no_grad():
        for parameter in base.unet.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    base.save_pretrained(tmp_path / "tune")
    config = EvaluationConfig(prompts=("a man running",), seeds=(0,), steps=1, n_resamples=10)
    params = EvaluateParams(
        base=str(tmp_path / "tune"), checkpoint=str(tmp_path / "adapter"), out=str(tmp_path),
        evaluation=config, judge=JudgeConfig(weights="embedded"), device="cpu",
    )  # fmt: skip
    job = EvaluationJob(
        params=params, checkpoint=params.checkpoint, digest="", champion=None, reigning=None
    )
    with pytest.raises(CheckpointError, match="--any-base"):
        run_evaluation(job)
    open_job = replace(job, params=params.model_copy(update={"any_base": True}))
    assert run_evaluation(open_job).tags["base"] == params.base
