"""The method ``hcp``: beginning with the weights of another training."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline

from hcp import HcpAdapter, HcpConfig
from hcp.config import AlignmentConfig
from hcp.training.config import DataConfig, TrainConfig
from hcp.training.trainer import Trainer
from storage.errors import CheckpointError

MakePipeline = Callable[[int], StableDiffusionPipeline]

CONFIG = TrainConfig(
    steps=2, ema_decay=0.9, data=DataConfig(resolution_px=32), hcp=HcpConfig(width=16, gate="zero")
)


@pytest.fixture
def trained(make_pipeline: MakePipeline, tmp_path: Path) -> HcpAdapter:
    """An adapter with weights of its own, saved in ``tmp_path / "trained"``."""
    adapter = HcpAdapter.create(make_pipeline(0).unet, CONFIG.hcp)
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.normal_()
    adapter.save_pretrained(tmp_path / "trained", step=7)
    return adapter


def test_the_weights_and_their_average_are_those_of_the_checkpoint(
    make_pipeline: MakePipeline, trained: HcpAdapter, tmp_path: Path
) -> None:
    milder = replace(CONFIG.hcp, gamma=0.5, alignment=AlignmentConfig(alpha=1.0))
    trainer = Trainer(make_pipeline(0), replace(CONFIG, hcp=milder))
    trainer.start_from(str(tmp_path / "trained"))
    assert trainer.step_done == 0
    assert trainer.ema is not None
    for ours, theirs, average in zip(
        trainer.parameters, trained.parameters(), trainer.ema.shadow_params, strict=True
    ):
        assert torch.equal(ours, theirs)
        assert torch.equal(average, theirs)
    assert all(p.requires_grad for p in trainer.parameters)


@pytest.mark.parametrize(
    ("hcp", "said"),
    [
        (HcpConfig(width=8, gate="zero"), "width 16, here 8"),
        (HcpConfig(width=16, gate="zero", stages=("up",)), "stages"),
        (HcpConfig(width=16, gate="fixed", value="learned"), "gate zero, here fixed; value frozen"),
    ],
)
@pytest.mark.usefixtures("trained")
def test_another_layout_is_refused_with_what_differs(
    make_pipeline: MakePipeline, tmp_path: Path, hcp: HcpConfig, said: str
) -> None:
    trainer = Trainer(make_pipeline(0), replace(CONFIG, hcp=hcp))
    with pytest.raises(CheckpointError, match=f"init_from.*{said}"):
        trainer.start_from(str(tmp_path / "trained"))


def test_an_adapter_of_another_base_is_refused_unless_any_base_will_do(
    make_pipeline: MakePipeline, trained: HcpAdapter, tmp_path: Path
) -> None:
    trainer = Trainer(make_pipeline(1), CONFIG)
    with pytest.raises(CheckpointError, match=r"init_from .*other weights"):
        trainer.start_from(str(tmp_path / "trained"))
    tune = Trainer(make_pipeline(1), replace(CONFIG, any_base=True))
    tune.start_from(str(tmp_path / "trained"))
    for ours, theirs in zip(tune.parameters, trained.parameters(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.usefixtures("trained")
def test_a_changed_checkpoint_is_refused(make_pipeline: MakePipeline, tmp_path: Path) -> None:
    weights = tmp_path / "trained" / "adapter.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="changed"):
        Trainer(make_pipeline(0), CONFIG).start_from(str(tmp_path / "trained"))
