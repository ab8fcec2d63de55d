"""Small decisions of an evaluation."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from demo.embedded import SD_DIR
from flows.jobs import (
    EvaluationJob,
    run_evaluation,
)
from flows.params import EvaluateParams
from hcp import HcpAdapter, HcpConfig
from hcp.base import load_base
from hcp.evaluation.results import EvaluationConfig
from priors.config import JudgeConfig
from storage.errors import CheckpointError


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
