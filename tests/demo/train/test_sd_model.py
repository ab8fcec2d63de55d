"""The tiny networks have Stable Diffusion's layout and survive being stored in half precision."""

import copy
from pathlib import Path

import torch
from transformers import CLIPTokenizer

from demo.embedded import SD_DIR
from demo.train import sd_model


def test_a_saved_pipeline_loads_in_float32_with_the_same_weights(tmp_path: Path) -> None:
    tokenizer = CLIPTokenizer.from_pretrained(str(SD_DIR), subfolder="tokenizer")
    parts = {
        "vae": sd_model.make_vae(),
        "text_encoder": sd_model.make_text_encoder(tokenizer),
        "unet": sd_model.make_unet(),
    }
    sd_model.save_pipeline(tmp_path, tokenizer=tokenizer, **copy.deepcopy(parts))
    loaded = sd_model.load_pipeline(tmp_path)
    for name, module in parts.items():
        found = getattr(loaded, name).state_dict()
        for key, value in module.state_dict().items():
            if value.is_floating_point():
                assert found[key].dtype == torch.float32
                assert torch.allclose(found[key], value, atol=1e-3, rtol=1e-3), (name, key)
    assert not list(tmp_path.rglob("*.bin"))


def test_latents_are_eight_times_smaller_and_almost_without_noise() -> None:
    torch.manual_seed(0)
    with torch.no_grad():
        latents = sd_model.make_vae().encode(torch.zeros(1, 3, 128, 128)).latent_dist
    assert latents.mean.shape == (1, 4, 16, 16)
    assert torch.allclose(latents.logvar, torch.full((), -6.0), atol=1e-5)
