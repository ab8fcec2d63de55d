"""Pictures of a training: what they show, what they leave as it was."""

import io
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image

from hcp.training.samples import GAP_PX, draw_samples, grid_png
from hcp.training.state import averaged
from hcp.training.trainer import Trainer, train_steps
from hcp.training.watching import SamplesConfig
from tests.hcp.training.test_trainer import CONFIG, run, stream

DRAWN = replace(
    CONFIG,
    samples=SamplesConfig(
        every=2, prompts=("a woman doing yoga", "a red car"), seeds=(0, 1), steps=2, guidance=2.0
    ),
)

MakePipeline = Callable[[int], StableDiffusionPipeline]


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


def drawn(trainer: Trainer) -> np.ndarray:
    grid = draw_samples(trainer)
    assert grid is not None
    assert grid.name == f"samples/step-{trainer.step_done:08d}.png"
    return pixels(grid.png)


def base_picture(pipeline: StableDiffusionPipeline, prompt: str, seed: int) -> np.ndarray:
    result = pipeline(
        prompt, num_inference_steps=2, guidance_scale=2.0, height=32, width=32,
        generator=torch.Generator().manual_seed(seed), output_type="pil",
    )  # fmt: skip
    return np.asarray(result.images[0])


def test_the_first_grid_is_the_base_s_and_later_ones_change_people_alone(
    make_pipeline: MakePipeline,
) -> None:
    trainer = Trainer(make_pipeline(0), DRAWN)
    first = drawn(trainer)
    base = make_pipeline(0)
    assert first.shape[1] == 2 * (32 + GAP_PX) + GAP_PX
    corner = base_picture(base, "a woman doing yoga", 0)
    top = (first.shape[0] - GAP_PX) // 2 - 32
    found = first[top : top + 32, GAP_PX : GAP_PX + 32].astype(int)
    assert np.abs(found - corner.astype(int)).max() <= 1  # two pictures a call round differently
    run(trainer, 3)
    later, half = drawn(trainer), first.shape[0] // 2
    assert not np.array_equal(later[:half], first[:half])
    assert np.array_equal(later[half:], first[half:])


def test_training_goes_on_to_the_bit(make_pipeline: MakePipeline) -> None:
    plain = run(Trainer(make_pipeline(0), CONFIG), 4)
    trainer = Trainer(make_pipeline(0), DRAWN)
    torch.manual_seed(7)
    state, seen = torch.get_rng_state(), []
    for metrics in train_steps(trainer, stream(trainer), until=4):
        draw_samples(trainer)
        seen.append(metrics)
    assert [m.loss for m in seen] == [m.loss for m in plain]
    assert torch.equal(torch.get_rng_state(), state)


def test_the_weights_are_those_of_a_checkpoint(make_pipeline: MakePipeline) -> None:
    trainer = Trainer(make_pipeline(0), DRAWN)
    run(trainer, 3)
    of_average = drawn(trainer)
    with averaged(trainer):
        trainer.ema, ema = None, trainer.ema
        assert np.array_equal(drawn(trainer), of_average)
        trainer.ema = ema
    trainer.ema = None
    assert not np.array_equal(drawn(trainer), of_average)


def test_what_cannot_be_drawn_ends_nothing(
    make_pipeline: MakePipeline, caplog: pytest.LogCaptureFixture
) -> None:
    trainer = Trainer(make_pipeline(0), DRAWN)

    def fail(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    handle = trainer.pipeline.unet.register_forward_pre_hook(fail)
    assert draw_samples(trainer) is None
    assert "no sample pictures at step 0" in caplog.text
    handle.remove()
    assert draw_samples(trainer) is not None


def test_a_grid_has_every_picture_in_its_place() -> None:
    colours = [[(255, 0, 0), (0, 255, 0)], [(0, 0, 255), (9, 9, 9)]]
    rows = [[Image.new("RGB", (16, 16), colour) for colour in row] for row in colours]
    sheet = pixels(grid_png(rows, ["one", "two"]))
    line = (sheet.shape[0] - GAP_PX) // 2
    for r, row in enumerate(colours):
        for c, colour in enumerate(row):
            y, x = (r + 1) * line - 8, GAP_PX + c * (16 + GAP_PX) + 8
            assert tuple(sheet[y, x]) == colour
