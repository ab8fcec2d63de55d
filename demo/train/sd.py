"""Trains the embedded Stable-Diffusion-layout pipeline: ``python -m demo.train.sd --minutes 160``.

First the autoencoder for a third of the budget, then text encoder and U-Net on its latents. On two
cores two processes are better than two threads, which would wait for each other in every operation:

    torchrun --nproc-per-node 2 -m demo.train.sd --minutes 160
"""

import copy
import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPTokenizer

from demo.embedded import SD_DIR
from demo.train import sd_model
from demo.train.command import WORK, Budget, Recipe, Run, read_command
from demo.train.loop import Loss, train
from demo.world.scene_store import DrawnScenes, held_out_seeds, stored_scenes, training_seeds

SIZE_PX = 128
CROP_PX = 64
CAPTION_DROPOUT = 0.1
MIN_SNR_GAMMA = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SdRecipe(Recipe):
    """The pipeline's own."""

    world: str = "web"  # of demo.world.scene_store.WORLDS
    vae: str = ""  # folder of a finished autoencoder; "": one is trained first
    init: str = ""  # folder of a pipeline to go on from, its autoencoder and tokenizer kept


RECIPE = SdRecipe(seed=0, scenes=20_000, batch_size=16, weight_decay=0.01)
VAE_SHARE = 1 / 3
"""Of the budget in minutes; a budget in steps holds for each of the two."""


def to_tensor(pixels: NDArray[np.uint8]) -> Tensor:
    """uint8 [B, H, W, 3] to float [B, 3, H, W] in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float() / 127.5 - 1


def picture_error(error: Tensor) -> Tensor:
    """Absolute and squared error, and the absolute error of differences along x and y (edges)."""
    edges = error.diff(dim=2).abs().mean() + error.diff(dim=3).abs().mean()
    return error.abs().mean() + error.square().mean() + 0.5 * edges


class VaeTraining:
    """The autoencoder on random crops."""

    def __init__(self, recipe: SdRecipe, scenes: DrawnScenes, work: Path) -> None:
        self._scenes, self._held_out = scenes, _HeldOut(recipe.world, work)
        torch.manual_seed(recipe.seed)
        self.module = sd_model.make_vae()

    def loss(self, rng: np.random.Generator, *, size: int, progress: float) -> Loss:
        """The picture error of a decoded sample, plus a light KL term."""
        rows = rng.integers(0, len(self._scenes.images), size)
        corners = rng.integers(0, SIZE_PX - CROP_PX + 1, (size, 2))
        crops = [self._scenes.images[r, y : y + CROP_PX, x : x + CROP_PX]
                 for r, (y, x) in zip(rows, corners, strict=True)]  # fmt: skip
        images, vae = to_tensor(np.stack(crops)), cast(Any, self.module)
        posterior = vae.encode(images).latent_dist
        error = picture_error(vae.decode(posterior.sample()).sample - images)
        kl = posterior.kl().mean()
        return error + 1e-6 * kl, {"kl": float(kl.detach())}

    def export(self, module: nn.Module, folder: Path) -> None:
        """In single precision: the U-Net's training goes on from it."""
        cast(AutoencoderKL, module).save_pretrained(folder)

    @torch.inference_mode()
    def score(self, folder: Path, n_scenes: int) -> dict[str, float]:
        """Mean absolute error on held-out scenes, as a share of the range."""
        vae: Any = AutoencoderKL.from_pretrained(folder)
        images = to_tensor(self._held_out.scenes(n_scenes).images)
        errors = [(vae(part).sample - part).abs().mean() / 2 for part in images.split(50)]
        return {"held_out_error": float(torch.stack(errors).mean())}


class SdTraining:
    """Text encoder and U-Net on the latents of an autoencoder."""

    def __init__(self, recipe: SdRecipe, scenes: DrawnScenes, work: Path) -> None:
        """``work`` holds the autoencoder in ``vae/``, and gets latents and tokenizer."""
        self._work, self._held_out = work, _HeldOut(recipe.world, work)
        self._vae: Any = AutoencoderKL.from_pretrained(work / "vae")
        captions, tokenizer = scenes.captions.tolist(), work / "tokenizer"
        self._latents = stored_latents(work, scenes)
        if recipe.init:
            before: Any = sd_model.load_pipeline(Path(recipe.init))
            shutil.copytree(Path(recipe.init) / "tokenizer", tokenizer, dirs_exist_ok=True)
            self._tokenizer, text_encoder, unet = before.tokenizer, before.text_encoder, before.unet
        else:
            self._latents = standardise(self._vae, self._latents)
            self._tokenizer = sd_model.write_tokenizer(tokenizer, captions)
            torch.manual_seed(recipe.seed)
            text_encoder = sd_model.make_text_encoder(self._tokenizer)
            unet = sd_model.make_unet()
        self._ids = token_ids(self._tokenizer, captions)
        self._empty = token_ids(self._tokenizer, [""])
        self._alphas = sd_model.make_scheduler().alphas_cumprod
        self.module = nn.ModuleDict({"text_encoder": text_encoder.train(), "unet": unet.train()})

    def loss(self, rng: np.random.Generator, *, size: int, progress: float) -> Loss:
        """The denoising loss; some captions are left out, for guidance."""
        rows = torch.from_numpy(rng.integers(0, len(self._latents), size))
        drop = torch.from_numpy(rng.random((size, 1))) < CAPTION_DROPOUT
        ids = torch.where(drop, self._empty, self._ids[rows])
        parts = self.module["unet"], self.module["text_encoder"]
        loss = denoising_loss(*parts, latents=self._latents[rows], ids=ids, alphas=self._alphas)
        return loss, {}

    def export(self, module: nn.Module, folder: Path) -> None:
        """The whole pipeline in half precision."""
        parts = {**dict(module.named_children()), "vae": self._vae}
        copies: dict[str, Any] = {name: copy.deepcopy(p).eval() for name, p in parts.items()}
        sd_model.save_pipeline(folder, tokenizer=self._tokenizer, **copies)
        for name in ("vocab.json", "merges.txt"):  # CLIP's own two files, beside tokenizer.json
            shutil.copyfile(self._work / "tokenizer" / name, folder / "tokenizer" / name)

    @torch.inference_mode()
    def score(self, folder: Path, n_scenes: int) -> dict[str, float]:
        """The denoising loss on held-out scenes, the same noise each time."""
        made: Any = sd_model.load_pipeline(folder)
        scenes = self._held_out.scenes(n_scenes)
        torch.manual_seed(0)
        latents = made.vae.encode(to_tensor(scenes.images)).latent_dist.mean
        ids = token_ids(made.tokenizer, scenes.captions.tolist())
        parts = made.unet, made.text_encoder
        loss = denoising_loss(*parts, latents=latents, ids=ids, alphas=self._alphas)
        return {"held_out_loss": float(loss)}


@dataclass(frozen=True, slots=True)
class _HeldOut:
    world: str
    work: Path

    def scenes(self, count: int) -> DrawnScenes:
        """Scenes of the same world that no training sees."""
        seeds, folder = held_out_seeds(count), self.work / "scenes"
        return stored_scenes(seeds, folder=folder, size_px=SIZE_PX, world=self.world)


@torch.inference_mode()
def stored_latents(work: Path, scenes: DrawnScenes) -> Tensor:
    """The scenes' latents by ``work/vae`` (means, unscaled), [N, 4, S/8, S/8], encoded once."""
    digest = hashlib.sha256((work / "vae" / "diffusion_pytorch_model.safetensors").read_bytes())
    digest.update(scenes.captions.tobytes())
    path = work / f"latents-{digest.hexdigest()[:12]}.npy"
    if not path.is_file():
        vae: Any = AutoencoderKL.from_pretrained(work / "vae")
        starts = range(0, len(scenes.images), 50)
        parts = (vae.encode(to_tensor(scenes.images[i : i + 50])).latent_dist.mean for i in starts)
        partial = path.with_suffix(".part.npy")
        np.save(partial, torch.cat([part.half() for part in parts]).numpy())
        partial.replace(path)
    return torch.from_numpy(np.load(path)).float()


@torch.no_grad()
def standardise(vae: Any, latents: Tensor) -> Tensor:
    """The latents with zero mean and unit variance in each channel [N, 4, h, w].

    The change of units is folded into the autoencoder's two 1 x 1 convolutions, in place, so that
    its pictures stay what they were and its scaling factor is 1.
    """
    enter, leave = vae.quant_conv, vae.post_quant_conv
    mean, std = latents.mean(dim=(0, 2, 3)), latents.std(dim=(0, 2, 3))
    leave.bias += leave.weight[:, :, 0, 0] @ mean
    leave.weight *= std.view(1, -1, 1, 1)
    enter.weight[:4] /= std.view(-1, 1, 1, 1)
    enter.bias[:4] = (enter.bias[:4] - mean) / std
    enter.bias[4:] -= 2 * std.log()
    vae.register_to_config(scaling_factor=1.0)
    return (latents - mean.view(1, -1, 1, 1)) / std.view(1, -1, 1, 1)


def token_ids(tokenizer: CLIPTokenizer, captions: Sequence[str]) -> Tensor:
    """The captions' tokens, padded, [B, 77]."""
    return tokenizer(
        list(captions), padding="max_length", truncation=True, return_tensors="pt"
    ).input_ids


def denoising_loss(
    unet: nn.Module, text_encoder: nn.Module, *, latents: Tensor, ids: Tensor, alphas: Tensor
) -> Tensor:
    """Noise prediction error with min-SNR weights (Hang et al. 2023, Eq. 5, gamma = 5).

    ``latents`` [B, 4, h, w] of unit variance; ``ids`` [B, 77]; ``alphas`` the cumulative products.
    """
    timesteps = torch.randint(0, len(alphas), (len(latents),))
    alpha = alphas[timesteps].view(-1, 1, 1, 1)
    noise = torch.randn_like(latents)
    noisy = alpha.sqrt() * latents + (1 - alpha).sqrt() * noise
    states = text_encoder(ids).last_hidden_state
    noise_pred = unet(noisy, timesteps, states).sample
    snr = alpha / (1 - alpha)
    weight = snr.clamp(max=MIN_SNR_GAMMA) / snr
    return (weight * functional.mse_loss(noise_pred, noise, reduction="none")).mean()


def train_pipeline(recipe: SdRecipe, run: Run) -> dict[str, Any]:
    """Train the autoencoder, unless one is given, then the rest; the record of the latter."""
    team, work, minutes = run.team, run.work, run.budget.minutes
    seeds, folder = training_seeds(recipe.scenes), work / "scenes"
    scenes = team.first(
        lambda: stored_scenes(seeds, folder=folder, size_px=SIZE_PX, world=recipe.world)
    )
    vae = f"{recipe.init}/vae" if recipe.init else recipe.vae
    if vae:
        team.first(lambda: shutil.copytree(vae, work / "vae", dirs_exist_ok=True))
        sd_run = run
    else:
        shares = [minutes and share * minutes for share in (VAE_SHARE, 1 - VAE_SHARE)]
        vae_run, sd_run = (replace(run, budget=replace(run.budget, minutes=m)) for m in shares)
        vae_run = replace(vae_run, name="vae", out=work / "vae")
        train(VaeTraining(recipe, scenes, work), recipe, vae_run)
    return train(team.first(lambda: SdTraining(recipe, scenes, work)), recipe, sd_run)


def main(argv: Sequence[str] | None = None) -> None:
    """Command line."""
    run = Run(name="sd", budget=Budget(minutes=160.0), work=WORK, out=SD_DIR)
    train_pipeline(*read_command(argv, recipe=RECIPE, run=run, about=__doc__))


if __name__ == "__main__":
    main()
