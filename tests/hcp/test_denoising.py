"""What a step is made of: the loss by hand, repeatable noise, latents, priors."""

import dataclasses
from typing import Literal

import pytest
import torch
from diffusers import DDPMScheduler, StableDiffusionPipeline

from hcp.config import AlignmentConfig, PriorTable
from hcp.data import DataConfig, make_example
from hcp.denoising import denoising_loss, encode, prior_batch, step_generator
from hcp.loader import Batch, collate, sample_rng
from tests.hcp.samples import make_sample

Prediction = Literal["epsilon", "v_prediction"]


@pytest.fixture
def batch(pipeline: StableDiffusionPipeline) -> Batch:
    """One photo with a person, one without."""
    config = DataConfig(resolution_px=32, flip_probability=0.0, caption_dropout=0.0)
    samples = [make_sample(0), make_sample(1, people=[])]
    examples = [make_example(s, config=config, rng=sample_rng(0, 0, s.key)) for s in samples]
    return collate(examples, tokenizer=pipeline.tokenizer)


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_denoising_loss_by_hand(prediction_type: Prediction) -> None:
    scheduler = DDPMScheduler(prediction_type=prediction_type)
    latents, noise = torch.full((1, 1, 2, 2), 2.0), torch.full((1, 1, 2, 2), 3.0)
    t = torch.tensor([400])
    a = scheduler.alphas_cumprod[400].item()
    target = 3.0 if prediction_type == "epsilon" else a**0.5 * 3 - (1 - a) ** 0.5 * 2
    zero = torch.zeros_like(latents)
    loss = denoising_loss(scheduler, zero, latents, noise=noise, timesteps=t)
    assert loss.item() == pytest.approx(target**2, rel=1e-5)
    weighted = denoising_loss(scheduler, zero, latents, noise=noise, timesteps=t, min_snr_gamma=0.1)
    snr = a / (1 - a)
    divisor = snr if prediction_type == "epsilon" else snr + 1
    assert weighted.item() == pytest.approx(target**2 * min(snr, 0.1) / divisor, rel=1e-4)


def test_noise_depends_on_seed_step_rank_and_part() -> None:
    def draw(*place: int) -> float:
        seed, step, rank, part = place
        return torch.randn(1, generator=step_generator(seed, step, rank, part)).item()

    places = [(0, 0, 0, 0), (1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)]
    assert len({draw(*p) for p in places}) == 5
    assert draw(0, 1, 0, 0) == draw(0, 1, 0, 0)


def test_latents_follow_the_generator_and_carry_no_gradient(
    pipeline: StableDiffusionPipeline, batch: Batch
) -> None:
    def draw(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        return encode(pipeline, batch, torch.Generator().manual_seed(seed))

    latents, text = draw(0)
    assert latents.shape == (2, 4, 16, 16)
    assert text.shape == (2, 16, 32)
    assert not latents.requires_grad
    assert torch.equal(draw(0)[0], latents)
    again, same_text = draw(1)
    assert not torch.equal(again, latents)
    assert torch.equal(same_text, text)
    pipeline.vae.register_to_config(scaling_factor=2 * pipeline.vae.config.scaling_factor)
    torch.testing.assert_close(draw(0)[0], 2 * latents)


def test_pose_images_are_drawn_only_where_the_table_asks(batch: Batch) -> None:
    device = torch.device("cpu")
    plain = prior_batch(batch, AlignmentConfig(), device=device)
    assert plain.pose_images is None
    assert plain.keypoints is not None
    assert plain.image_size == (32, 32)
    assert plain.keypoints.shape == (2, 1, 17, 3)
    table = PriorTable(person=("resnet50",))
    drawn = prior_batch(batch, AlignmentConfig(priors=table), device=device).pose_images
    assert drawn is not None
    assert drawn.shape == (2, 3, 32, 32)
    assert 0.5 < drawn[0].max() <= 1
    assert drawn[1].max() == 0
    nobody = dataclasses.replace(batch, keypoints=(batch.keypoints[1],) * 2)
    assert prior_batch(nobody, AlignmentConfig(), device=device).keypoints is not None
