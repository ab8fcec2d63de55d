"""Marks in a single file say which noise its base was trained with."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import CLIPTokenizer

from hcp.base import ENCODERS, load_base
from hcp.latents import LatentScale
from hcp.training.scheduler import training_scheduler
from tests.hcp.single_files import saved


def test_marks_of_velocity_and_zero_snr_are_understood(
    tiny_tokenizer: CLIPTokenizer, tmp_path: Path
) -> None:
    marks = {"v_pred": torch.zeros(0), "ztsnr": torch.zeros(0)}
    _, path = saved("sdxl", tiny_tokenizer, tmp_path, **marks)
    scheduler = training_scheduler(load_base(path))
    assert scheduler.config.prediction_type == "v_prediction"
    assert scheduler.alphas_cumprod[-1] == 0


def test_b04_the_marks_of_edm_give_its_scheduler_and_its_statistics(
    tiny_tokenizer: CLIPTokenizer, tmp_path: Path
) -> None:
    mean, std = torch.tensor([-1.0, 2.0, 0.5, 1.0]), torch.tensor([8.0, 4.0, 2.0, 1.0])
    marks = {"edm_mean": mean.view(1, 4, 1, 1), "edm_std": std.view(1, 4, 1, 1)}
    _, path = saved("sdxl", tiny_tokenizer, tmp_path, **marks)
    loaded: Any = load_base(path)
    assert LatentScale.of(loaded.vae.config) == LatentScale(
        factor=0.5, mean=tuple(mean.tolist()), std=tuple(std.tolist())
    )
    with pytest.raises(ValueError, match="EDMDPMSolverMultistepScheduler"):
        training_scheduler(loaded)


def test_b04_the_marks_of_edm_with_velocity_are_understood(
    tiny_tokenizer: CLIPTokenizer, tmp_path: Path
) -> None:
    marks = {"edm_vpred.sigma_max": torch.tensor(120.0), "edm_vpred.sigma_min": torch.tensor(0.002)}
    _, path = saved("sdxl", tiny_tokenizer, tmp_path, **marks)
    scheduler: Any = load_base(path, without=ENCODERS).scheduler
    assert scheduler.config.prediction_type == "v_prediction"
    assert float(scheduler.sigmas.max()) == pytest.approx(120.0, rel=1e-4)
