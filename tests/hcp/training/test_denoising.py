"""What a step is made of: the loss by hand, repeatable noise, latents, priors."""

import dataclasses
from itertools import islice
from typing import Any, Literal

import pytest
import torch
from diffusers import DDPMScheduler, StableDiffusionPipeline
from transformers import CLIPTokenizer

from hcp import HcpConfig
from hcp.config import AlignmentConfig, PriorTable
from hcp.training.batches import Batch, collate, iter_batches, sample_rng
from hcp.training.config import DataConfig, TrainConfig
from hcp.training.denoising import (
    denoising_loss,
    draw_noise,
    encode,
    prior_batch,
    step_generator,
)
from hcp.training.examples import make_example
from hcp.training.trainer import Trainer
from storage.errors import CheckpointError
from tests.hcp.layouts import LAYOUTS, Layout, layout_pipeline
from tests.hcp.samples import epoch_source, make_sample

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


def test_noise_offset_shifts_whole_channels_and_is_off_by_default() -> None:
    latents = torch.zeros(2, 4, 64, 64)
    plain = draw_noise(latents, torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(0)
    assert torch.equal(plain, torch.randn(latents.shape, generator=generator))
    shifted = draw_noise(latents, torch.Generator().manual_seed(0), offset=0.5)
    shifts = (shifted - plain).flatten(2)
    assert shifts.std(dim=2).max() < 1e-6
    expected = 0.5 * torch.randn(2, 4, 1, generator=generator)
    torch.testing.assert_close(shifts.mean(dim=2, keepdim=True), expected)


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
        found = encode(pipeline, batch, torch.Generator().manual_seed(seed))
        return found.latents, found.text

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


def test_b04_a_vaes_own_statistics_count(pipeline: StableDiffusionPipeline, batch: Batch) -> None:
    before = encode(pipeline, batch, torch.Generator().manual_seed(0)).latents
    pipeline.vae.register_to_config(latents_mean=[1.0, 0.0, 2.0, -1.0], latents_std=[2.0] * 4)
    after = encode(pipeline, batch, torch.Generator().manual_seed(0)).latents
    factor = pipeline.vae.config.scaling_factor
    mean = torch.tensor([1.0, 0.0, 2.0, -1.0]).view(1, 4, 1, 1)
    torch.testing.assert_close(after, (before - mean * factor) / 2)


def test_b04_statistics_that_make_no_sense_end_a_training_before_its_first_step(
    pipeline: StableDiffusionPipeline,
) -> None:
    pipeline.vae.register_to_config(latents_mean=[1.0] * 4)
    with pytest.raises(CheckpointError, match="expected both or neither"):
        Trainer(pipeline, TrainConfig())


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


DATA = DataConfig(resolution_px=16, caption_dropout=0.0, decode_threads=1)
SAMPLES = [make_sample(i, size_px=(64, 48)) for i in range(2)]


def _batches(pipeline: Any) -> Any:
    def to_batch(examples: Any) -> Batch:
        return collate(examples, tokenizer=pipeline.tokenizer)

    return iter_batches(epoch_source(SAMPLES), to_batch, batch_size=2, config=DATA, seed=0)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_embeddings_are_the_pipelines_own(layout: Layout, tiny_tokenizer: CLIPTokenizer) -> None:
    pipeline = layout_pipeline(layout, tiny_tokenizer)
    batch = next(_batches(pipeline))[0]
    found = encode(pipeline, batch, torch.Generator().manual_seed(0))
    expected = pipeline.encode_prompt(
        prompt=list(batch.captions),
        device="cpu",
        num_images_per_prompt=1,
        do_classifier_free_guidance=False,
    )
    assert torch.equal(found.text, expected[0])
    if layout != "sdxl":
        assert found.added is None
        return
    assert found.added is not None
    assert torch.equal(found.added["text_embeds"], expected[2])
    assert found.added["time_ids"].tolist()[0][:2] == [48, 64]
    assert found.added["time_ids"].tolist()[0][4:] == [16, 16]


def test_an_empty_caption_of_sdxl_is_its_empty_negative_prompt(
    tiny_tokenizer: CLIPTokenizer,
) -> None:
    pipeline = layout_pipeline("sdxl", tiny_tokenizer)
    batch = next(_batches(pipeline))[0]
    empty = Batch(**{name: getattr(batch, name) for name in Batch.__slots__} | {
        "captions": ("", batch.captions[1])
    })  # fmt: skip
    found = encode(pipeline, empty, torch.Generator().manual_seed(0))
    assert found.added is not None
    assert not found.text[0].any()
    assert not found.added["text_embeds"][0].any()
    assert found.text[1].any()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_trains(layout: Layout, tiny_tokenizer: CLIPTokenizer) -> None:
    pipeline = layout_pipeline(layout, tiny_tokenizer)
    before = {name: t.clone() for name, t in pipeline.unet.state_dict().items()}
    config = TrainConfig(steps=1, batch_size=2, data=DATA, hcp=HcpConfig(width=8))
    trainer = Trainer(pipeline, config)
    metrics = trainer.step(list(islice(_batches(pipeline), 1)))
    trainer.close()
    assert metrics.alignment > 0
    assert metrics.grad_norm > 0
    after = pipeline.unet.state_dict()
    assert all(torch.equal(tensor, before[name]) for name, tensor in after.items())
