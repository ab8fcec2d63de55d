"""VAEs with statistics of their own (cases.md, B04): what training sees is what is drawn."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import CLIPTokenizer

from hcp.base import load_base
from hcp.latents import LatentScale, fold_statistics
from storage.errors import CheckpointError
from tests.hcp.layouts import layout_pipeline

OWN: dict[str, Any] = {
    "latents_mean": [-1.6574, 1.886, -1.383, 2.5155],
    "latents_std": [8.4927, 5.9022, 6.5498, 5.2299],
    "scaling_factor": 0.5,
}
"""Those of Playground v2.5."""


def test_b04_latents_are_scaled_as_diffusers_has_it() -> None:
    latents = torch.randn(2, 4, 3, 5, generator=torch.Generator().manual_seed(0))
    mean, std = (torch.tensor(OWN[f"latents_{name}"]).view(1, 4, 1, 1) for name in ("mean", "std"))
    torch.testing.assert_close(LatentScale.of(OWN).scaled(latents), (latents - mean) * 0.5 / std)
    as_tensors = OWN | {"latents_mean": mean, "latents_std": std}  # as a single file's converter
    assert LatentScale.of(as_tensors) == LatentScale.of(OWN)
    plain = {"scaling_factor": 0.13025, "latents_mean": None, "latents_std": None}
    assert torch.equal(LatentScale.of(plain).scaled(latents), latents * 0.13025)


@pytest.mark.parametrize("config", [OWN, {"scaling_factor": 0.18215}])
def test_b04_facts_of_a_cache_say_the_same(config: dict[str, Any]) -> None:
    scale = LatentScale.of(config)
    assert LatentScale.of(scale.to_json()) == scale
    assert scale.to_json().keys() == config.keys()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"latents_std": None}, "expected both or neither"),
        ({"latents_mean": None}, "expected both or neither"),
        ({"latents_mean": [0.0] * 3}, "expected 4 numbers each"),
        ({"latents_std": [1.0] * 16}, "expected 4 numbers each"),
        ({"latents_std": [1.0, 1.0, 0.0, 1.0]}, "positive"),
        ({"latents_mean": [], "latents_std": []}, "expected 4 numbers each"),
        ({"shift_factor": 0.0609}, "shift_factor 0.0609"),
        ({"latent_magnitude": 3}, "AutoencoderTiny"),
    ],
)
def test_b04_statistics_that_make_no_sense_are_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(CheckpointError, match=said):
        LatentScale.of(OWN | {"latent_channels": 4} | change)


def saved(layout: Any, tokenizer: CLIPTokenizer, folder: Path) -> Any:
    pipeline = layout_pipeline(layout, tokenizer)
    pipeline.vae.register_to_config(**OWN)
    pipeline.save_pretrained(folder)
    return pipeline


@torch.no_grad()
@pytest.mark.parametrize("layout", ["sd1", "sdxl"])
def test_b04_what_a_base_draws_from_latents_is_the_picture_they_are_of(
    layout: str, tiny_tokenizer: CLIPTokenizer, tmp_path: Path
) -> None:
    raw = saved(layout, tiny_tokenizer, tmp_path).vae
    loaded: Any = load_base(tmp_path)
    pixels = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    expected_mean = LatentScale.of(OWN).scaled(raw.encode(pixels).latent_dist.mean)
    found = loaded.vae.encode(pixels).latent_dist
    scale = LatentScale.of(loaded.vae.config)
    torch.testing.assert_close(scale.scaled(found.mean), expected_mean)
    noise = torch.ones_like(found.mean)
    spread = scale.scaled(found.mean + found.std * noise) - scale.scaled(found.mean)
    std = torch.tensor(OWN["latents_std"]).view(1, 4, 1, 1)
    torch.testing.assert_close(spread, raw.encode(pixels).latent_dist.std * 0.5 / std)
    # What the pipeline itself does with latents: StableDiffusionXLPipeline knows the statistics.
    drawn = expected_mean / loaded.vae.config.scaling_factor
    if layout == "sdxl":
        drawn = drawn * std + torch.tensor(OWN["latents_mean"]).view(1, 4, 1, 1)
    expected = raw.decode(raw.encode(pixels).latent_dist.mean).sample
    torch.testing.assert_close(loaded.vae.decode(drawn).sample, expected)


def test_b04_a_vae_that_cannot_be_folded_is_named(tiny_tokenizer: CLIPTokenizer) -> None:
    vae = layout_pipeline("sd1", tiny_tokenizer).vae
    before = {name: tensor.clone() for name, tensor in vae.state_dict().items()}
    fold_statistics(vae)  # nothing to do
    assert all(torch.equal(tensor, before[name]) for name, tensor in vae.state_dict().items())
    vae.register_to_config(**OWN)
    vae.quant_conv = None
    with pytest.raises(CheckpointError, match=r"latents_mean .*quant_conv"):
        fold_statistics(vae)
