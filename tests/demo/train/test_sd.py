"""The tiny Stable-Diffusion-layout pipeline: its training scripts and the committed weights."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline
from transformers import CLIPTokenizer

from demo.embedded import POSE_DIR, POSE_PX, SD_DIR, WEIGHTS_DIR
from demo.train import sd, sd_model
from demo.train.loop import Loop
from demo.world.scene_store import draw_scenes, training_seeds
from demo.world.scenes import render_scene
from priors.config import ModelConfig
from priors.models import load_pose
from tests.demo.train.runs import a_run


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def pipeline() -> StableDiffusionPipeline:
    return sd_model.load_pipeline(SD_DIR)


def draw(
    pipeline: StableDiffusionPipeline, prompt: str, *, n: int = 3, steps: int = 14
) -> np.ndarray:
    """n pictures of the prompt, float [n, 128, 128, 3] in [0, 1], always the same ones."""
    generators = [torch.Generator().manual_seed(seed) for seed in range(n)]
    return pipeline(
        [prompt] * n, num_inference_steps=steps, guidance_scale=5.0, height=128, width=128,
        generator=generators, output_type="np",
    ).images  # fmt: skip


def test_weights_are_small_and_have_no_pickles() -> None:
    files = [p for p in SD_DIR.rglob("*") if p.is_file()]
    assert sum(p.stat().st_size for p in files) < 16e6
    assert sum(p.stat().st_size for p in WEIGHTS_DIR.rglob("*") if p.is_file()) < 32e6
    assert {p.suffix for p in files} <= {".json", ".safetensors", ".txt", ".md"}


def test_the_tokenizer_is_the_one_the_weights_were_trained_with() -> None:
    digest = hashlib.sha256()
    for name in ("merges.txt", "tokenizer.json", "tokenizer_config.json", "vocab.json"):
        digest.update((SD_DIR / "tokenizer" / name).read_bytes())
    assert digest.hexdigest().startswith("8dea1df2ee4fb966")


def test_pipeline_has_stable_diffusion_layout() -> None:
    plain = StableDiffusionPipeline.from_pretrained(str(SD_DIR), safety_checker=None)
    for part in (plain.unet, plain.vae, plain.text_encoder):
        assert next(part.parameters()).dtype == torch.float32
    assert plain.vae_scale_factor == 8
    assert plain.tokenizer.model_max_length == 77
    assert plain.scheduler.config.prediction_type == "epsilon"
    sites = [name for name, _ in plain.unet.named_modules() if name.endswith("attn2")]
    assert {name.split(".")[0] for name in sites} == {"down_blocks", "mid_block", "up_blocks"}
    params = sum(p.numel() for p in plain.unet.parameters())
    assert 1e6 < params < 8e6


def test_embedded_tokenizer_knows_the_world_and_survives_the_rest() -> None:
    tokenizer = CLIPTokenizer.from_pretrained(str(SD_DIR), subfolder="tokenizer")
    for seed in range(40):
        caption = render_scene(seed, size_px=32).caption
        assert len(tokenizer.tokenize(caption)) == len(caption.split())
    unknown = tokenizer("A zebra rides Ωmega, quickly!").input_ids
    assert (
        tokenizer.unk_token_id not in unknown[1:-1] or tokenizer.eos_token_id not in unknown[1:-1]
    )
    assert "zebra" in tokenizer.decode(unknown)


@pytest.mark.slow
def test_prompts_steer_brightness(pipeline: StableDiffusionPipeline) -> None:
    snow = draw(pipeline, "a woman in a red shirt standing in the snow")
    night = draw(pipeline, "a woman in a red shirt standing in a city at night")
    assert snow.mean() > night.mean() + 0.45


@pytest.mark.slow
def test_prompts_steer_the_colour_of_clothes(pipeline: StableDiffusionPipeline) -> None:
    """Colours of the picture's middle, where the one person stands."""
    middle = (slice(None), slice(45, 100), slice(40, 88))
    red, blue, yellow = (
        draw(pipeline, f"a man in a {color} shirt standing in the snow")[middle].mean((0, 1, 2))
        for color in ("red", "blue", "yellow")
    )
    assert red[0] - red[2] > blue[0] - blue[2] + 0.3
    assert yellow[1] > red[1] + 0.2


@pytest.mark.slow
def test_prompts_steer_the_colour_of_things(pipeline: StableDiffusionPipeline) -> None:
    middle = (slice(None), slice(45, 100), slice(40, 88))
    red, blue = (
        draw(pipeline, f"a {color} house in the snow")[middle].mean((0, 1, 2))
        for color in ("red", "blue")
    )
    assert red[0] > red[2] + 0.3
    assert blue[2] > blue[0] + 0.15


@pytest.mark.slow
def test_people_are_recognisable(pipeline: StableDiffusionPipeline) -> None:
    """To the pose model, which learned on drawn scenes; the base shall leave room above it."""
    prompts = (
        "a woman in a red shirt jumping on a beach",
        "a man in a blue shirt standing in a park",
        "a girl in a yellow shirt running on the grass",
    )
    pictures = [
        np.round(255 * picture).astype(np.uint8)
        for prompt in prompts
        for picture in draw(pipeline, prompt)
    ]
    judge = load_pose(ModelConfig(weights=str(POSE_DIR), imgsz=POSE_PX))
    found = judge(pictures)
    best = [max((person.score for person in people), default=0.0) for people in found]
    assert min(best) > 0.35
    assert np.median(best) > 0.6
    empty = draw(pipeline, "a green tree in the snow")
    found = judge([np.round(255 * e).astype(np.uint8) for e in empty])
    assert max((p.score for people in found for p in people), default=0.0) < 0.5


def test_same_seed_same_picture(pipeline: StableDiffusionPipeline) -> None:
    first, again = (draw(pipeline, "a man jumping on a beach", n=1, steps=2) for _ in range(2))
    assert np.array_equal(first, again)


def test_autoencoder_keeps_a_scene(pipeline: StableDiffusionPipeline) -> None:
    scene = render_scene(3, size_px=128, people=1)
    images = sd.to_tensor(scene.image[None])
    with torch.inference_mode():
        decoded = pipeline.vae.decode(pipeline.vae.encode(images).latent_dist.mean).sample
    assert (decoded - images).abs().mean() < 0.08  # of a range of 2; a grey picture is 0.6 off


RECIPE_4 = sd.SdRecipe(seed=0, scenes=4, batch_size=2)


@pytest.fixture
def quick_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores of the exports on two held-out scenes, where they would take 200."""
    for training in (sd.VaeTraining, sd.SdTraining):
        score = training.score
        monkeypatch.setattr(training, "score", lambda self, folder, _, f=score: f(self, folder, 2))


@pytest.mark.usefixtures("quick_scores")
def test_the_command_trains_a_loadable_pipeline_and_goes_on_where_it_was(tmp_path: Path) -> None:
    work, out = tmp_path / "work", tmp_path / "out"
    options = ["--steps", "1", "--scenes", "4", "--batch-size", "2"]
    for _ in range(2):
        sd.main([*options, "--work", str(work), "--out", str(out)])
    pictures = draw(sd_model.load_pipeline(out), "a dog", n=1, steps=2)
    assert pictures.shape == (1, 128, 128, 3)
    assert np.isfinite(pictures).all()
    configs = [p.read_text() for p in out.rglob("*.json")]
    assert not any(str(tmp_path) in text for text in configs)
    record = json.loads((out / "TRAINING.json").read_text())
    assert record["steps"] == 1
    assert record["command"] == "python -m demo.train.sd --steps 1 --scenes 4 --batch-size 2"
    assert 0.0 < record["held_out_loss"] < 2.0
    assert json.loads((work / "vae" / "TRAINING.json").read_text())["held_out_error"] < 0.6
    assert {p.name for p in (out / "tokenizer").iterdir()} >= {"vocab.json", "merges.txt"}
    assert CLIPTokenizer.from_pretrained(str(out / "tokenizer")).model_max_length == 77


@pytest.mark.usefixtures("quick_scores")
def test_a_given_autoencoder_takes_nothing_of_the_budget(tmp_path: Path) -> None:
    options = ["--minutes", "0.001", "--scenes", "4", "--batch-size", "2", "--world", "people"]
    vae = SD_DIR / "vae"
    places = ["--vae", str(vae), "--work", str(tmp_path / "work"), "--out", str(tmp_path / "out")]
    sd.main([*options, *places])
    record = json.loads((tmp_path / "out" / "TRAINING.json").read_text())
    assert (record["world"], record["ended_by"]) == ("people", "minutes")
    kept, given = (
        AutoencoderKL.from_pretrained(folder).decoder.state_dict()
        for folder in (tmp_path / "out" / "vae", vae)
    )
    assert all(torch.equal(kept[name], given[name]) for name in given)


@pytest.mark.usefixtures("quick_scores")
def test_a_training_goes_on_from_a_finished_pipeline(tmp_path: Path) -> None:
    options = ["--steps", "1", "--scenes", "4", "--batch-size", "2", "--init", str(SD_DIR)]
    sd.main([*options, "--work", str(tmp_path / "work"), "--out", str(tmp_path / "out")])
    before, after = (sd_model.load_pipeline(folder) for folder in (SD_DIR, tmp_path / "out"))
    assert after.tokenizer.get_vocab() == before.tokenizer.get_vocab()
    old, new = before.vae.state_dict(), after.vae.state_dict()
    assert all(torch.equal(old[name], new[name]) for name in old)  # latents keep their meaning
    prompt = "a woman in a red shirt standing in the snow"
    of = [draw(pipeline, prompt, n=1, steps=4) for pipeline in (before, after)]
    assert np.abs(of[0] - of[1]).mean() < 0.1
    old, new = before.unet.state_dict(), after.unet.state_dict()
    assert not all(torch.equal(old[name], new[name]) for name in old)


def test_a_resumed_pipeline_training_ends_with_the_same_weights(tmp_path: Path) -> None:
    scenes = draw_scenes(training_seeds(4), size_px=sd.SIZE_PX)
    torch.manual_seed(0)
    sd_model.make_vae().save_pretrained(tmp_path / "vae")
    run = a_run(tmp_path, name="sd")

    def a_loop() -> Loop:
        return Loop(sd.SdTraining(RECIPE_4, scenes, tmp_path), RECIPE_4, run)

    straight, first = a_loop(), a_loop()
    for loop in (straight, first, straight):
        loop.advance()
    first.save()
    resumed = a_loop()
    resumed.advance()
    expected, found = straight.averaged.state_dict(), resumed.averaged.state_dict()
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_latents_are_encoded_once_for_one_autoencoder(tmp_path: Path) -> None:
    scenes = draw_scenes(training_seeds(2), size_px=sd.SIZE_PX)
    vae = sd_model.make_vae()
    vae.save_pretrained(tmp_path / "vae")
    first = sd.stored_latents(tmp_path, scenes)
    assert first.shape == (2, 4, 16, 16)
    (stored,) = tmp_path.glob("latents-*.npy")
    np.save(stored, np.zeros((2, 4, 16, 16), np.float16))
    assert not sd.stored_latents(tmp_path, scenes).any()  # not encoded again
    with torch.no_grad():
        vae.quant_conv.bias += 1.0
    vae.save_pretrained(tmp_path / "vae")
    torch.testing.assert_close(sd.stored_latents(tmp_path, scenes), first + 1, atol=0.01, rtol=0.01)


def test_denoising_loss_is_one_for_a_silent_network_at_high_noise() -> None:
    """A network that predicts 0 has the noise's variance as its error, where SNR <= gamma."""

    class Silent(torch.nn.Module):
        def forward(self, noisy: torch.Tensor, *_: torch.Tensor) -> "Silent":
            self.sample = torch.zeros_like(noisy)
            return self

    class Text(torch.nn.Module):
        def forward(self, ids: torch.Tensor) -> "Text":
            self.last_hidden_state = ids
            return self

    torch.manual_seed(0)
    loss = sd.denoising_loss(
        Silent(), Text(), latents=torch.randn(64, 4, 16, 16),
        ids=torch.zeros(64, 77, dtype=torch.long), alphas=torch.full((10,), 0.2),
    )  # fmt: skip
    assert loss.item() == pytest.approx(1.0, abs=0.02)
    low_noise = sd.denoising_loss(
        Silent(), Text(), latents=torch.randn(64, 4, 16, 16),
        ids=torch.zeros(64, 77, dtype=torch.long), alphas=torch.full((10,), 10 / 11),
    )  # fmt: skip
    assert low_noise.item() == pytest.approx(0.5, abs=0.02)  # SNR 10, weight 5 / 10


def test_standardised_latents_decode_to_the_same_pictures() -> None:
    torch.manual_seed(1)
    vae = sd_model.make_vae().eval()
    images = torch.rand(2, 3, 64, 64) * 2 - 1
    with torch.inference_mode():
        before = vae.encode(images).latent_dist
        pictures = vae.decode(before.mean).sample
    latents = sd.standardise(vae, before.mean.clone())
    assert torch.allclose(latents.mean(dim=(0, 2, 3)), torch.zeros(4), atol=1e-5)
    assert torch.allclose(latents.std(dim=(0, 2, 3)), torch.ones(4), atol=1e-3)
    with torch.inference_mode():
        after = vae.encode(images).latent_dist
        assert torch.allclose(after.mean, latents, atol=1e-4)
        assert torch.allclose(vae.decode(after.mean).sample, pictures, atol=1e-4)
        spread = before.mean.std(dim=(0, 2, 3)).view(1, 4, 1, 1)
        assert torch.allclose(after.std, before.std / spread, rtol=1e-3)
