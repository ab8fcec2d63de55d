"""The tiny networks have Stable Diffusion's layout and survive being stored in half precision."""

import copy
import hashlib
import json
from pathlib import Path

import torch
from transformers import CLIPTokenizer

from demo.embedded import SD_DIR
from demo.train import sd_model
from demo.world.scenes import render_scene


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


def test_the_untrained_networks_are_laid_out_as_the_committed_ones() -> None:
    committed = sd_model.load_pipeline(SD_DIR)
    made = {
        "vae": sd_model.make_vae(),
        "text_encoder": sd_model.make_text_encoder(committed.tokenizer),
        "unet": sd_model.make_unet(),
    }
    for name, module in made.items():
        module.load_state_dict(getattr(committed, name).state_dict())
    other = sd_model.make_unet()
    assert not torch.equal(other.conv_in.weight, committed.unet.conv_in.weight)  # untrained


def test_latents_are_eight_times_smaller_and_almost_without_noise() -> None:
    torch.manual_seed(0)
    with torch.no_grad():
        latents = sd_model.make_vae().encode(torch.zeros(1, 3, 128, 128)).latent_dist
    assert latents.mean.shape == (1, 4, 16, 16)
    assert torch.allclose(latents.logvar, torch.full((), -6.0), atol=1e-5)


def test_every_word_of_the_world_is_one_token_of_a_new_tokenizer(tmp_path: Path) -> None:
    captions = [render_scene(seed, size_px=32).caption for seed in range(300)]
    tokenizer = sd_model.write_tokenizer(tmp_path, captions)
    for caption in captions:
        tokens = tokenizer.tokenize(caption)
        assert [token.removesuffix("</w>") for token in tokens] == caption.split()
    assert len(tokenizer) < 900


def test_unknown_words_fall_apart_and_come_back(tmp_path: Path) -> None:
    tokenizer = sd_model.write_tokenizer(tmp_path, ["a woman jumping on a beach", "a man"])
    pieces = tokenizer.tokenize("a manhole")
    assert len(pieces) > 2
    assert "".join(pieces).replace("</w>", "") == "amanhole"
    odd = tokenizer("A zebra rides Ωmega!").input_ids
    assert tokenizer.decode(odd, skip_special_tokens=True).strip() == "a zebra rides ωmega !"


def test_a_small_vocabulary_keeps_the_commonest_words_whole(tmp_path: Path) -> None:
    captions = ["a dog"] * 50 + ["a photograph"]
    tokenizer = sd_model.write_tokenizer(tmp_path, captions, vocabulary_size=516)
    assert len(tokenizer) == 516
    assert tokenizer.tokenize("a dog") == ["a</w>", "dog</w>"]
    assert len(tokenizer.tokenize("photograph")) > 1


def test_a_new_tokenizer_is_laid_out_as_clips(tmp_path: Path) -> None:
    sd_model.write_tokenizer(tmp_path, ["a dog"])
    tokenizer = CLIPTokenizer.from_pretrained(tmp_path, model_max_length=sd_model.MAX_TOKENS)
    committed = CLIPTokenizer.from_pretrained(str(SD_DIR), subfolder="tokenizer")
    assert tokenizer.special_tokens_map == committed.special_tokens_map
    assert tokenizer.model_max_length == committed.model_max_length == 77
    ids = tokenizer("a dog", padding="max_length").input_ids
    assert len(ids) == 77
    assert ids[0] == tokenizer.bos_token_id
    assert set(ids[3:]) == {tokenizer.eos_token_id}
    assert max(ids) == len(tokenizer) - 1
    bytes_only = json.loads((SD_DIR / "tokenizer" / "vocab.json").read_text("utf-8"))
    own = json.loads((tmp_path / "vocab.json").read_text("utf-8"))
    assert set(list(own)[:512]) == set(list(bytes_only)[:512])


def test_the_same_captions_give_the_same_files_in_every_process(tmp_path: Path) -> None:
    """The library counts words in the order of a random hash; many pairs are equally frequent."""
    sd_model.write_tokenizer(
        tmp_path, [render_scene(seed, size_px=32).caption for seed in range(60)]
    )
    files = [(tmp_path / name).read_bytes() for name in ("vocab.json", "merges.txt")]
    assert hashlib.sha256(b"".join(files)).hexdigest().startswith("c75e56414cc5c39c")
