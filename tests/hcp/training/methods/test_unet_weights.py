"""The U-Net's own weights, as diffusers reads them."""

from pathlib import Path

from diffusers import StableDiffusionPipeline, UNet2DConditionModel

from hcp.training.state import save_checkpoint
from tests.hcp.training.methods.short_runs import run, same, trainer_of


def test_diffusers_reads_the_whole_unet_itself(
    pipeline: StableDiffusionPipeline, tmp_path: Path
) -> None:
    trainer = trainer_of(pipeline, "full", ema_decay=None)
    run(trainer, 1)
    save_checkpoint(tmp_path / "c", trainer)
    read = UNet2DConditionModel.from_pretrained(tmp_path / "c", subfolder="unet")
    assert same(read.state_dict(), pipeline.unet.state_dict())
