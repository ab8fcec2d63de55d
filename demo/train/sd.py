"""Train the embedded Stable-Diffusion-layout pipeline on the drawn world.

    python -m demo.train.sd --stage scenes --scenes 32000
    torchrun --nproc-per-node 2 -m demo.train.sd --stage vae --minutes 12
    torchrun --nproc-per-node 2 -m demo.train.sd --stage latents --scenes 20000
    torchrun --nproc-per-node 2 -m demo.train.sd --stage decoder --minutes 8
    torchrun --nproc-per-node 2 -m demo.train.sd --stage unet --minutes 60

Every stage also runs alone with ``python -m``; a stage that was cut off resumes from its
checkpoint in the work folder. Stage "unet" writes the pipeline at its end (and, with
``--export-every-s``, now and then before).
"""

import argparse
import copy
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPTokenizer

from demo.embedded import SD_DIR
from demo.train import sd_data, sd_model
from demo.train.schedule import Budget
from demo.train.sd_loop import LoopConfig, Team, chunks, train
from demo.train.sd_tokenizer import MAX_TOKENS, write_tokenizer

logger = logging.getLogger(__name__)

FIRST_SEED = 1_000_000
"""Training scenes start here; demos and tests use smaller seeds, so they are held out."""
CROP_PX = 64
CAPTION_DROPOUT = 0.1
MIN_SNR_GAMMA = 5.0
STAGES = ("scenes", "vae", "latents", "decoder", "unet")


def to_tensor(pixels: NDArray[np.uint8]) -> Tensor:
    """uint8 [B, H, W, 3] to float [B, 3, H, W] in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float() / 127.5 - 1


def picture_error(error: Tensor) -> Tensor:
    """Absolute and squared error, and the absolute error of differences along x and y (edges)."""
    edges = error.diff(dim=2).abs().mean() + error.diff(dim=3).abs().mean()
    return error.abs().mean() + error.square().mean() + 0.5 * edges


def autoencoder_loss(vae: Any, images: Tensor) -> Tensor:
    """The picture error of a decoded sample, plus a light KL term."""
    posterior = vae.encode(images).latent_dist
    decoded = vae.decode(posterior.sample()).sample
    return picture_error(decoded - images) + 1e-6 * posterior.kl().mean()


def train_vae(work: Path, *, config: LoopConfig, batch: int, team: Team) -> dict[str, float]:
    """Train the autoencoder on random crops and save it under the work folder."""
    pixels = sd_data.open_pixels(work)
    torch.manual_seed(config.seed)
    vae = sd_model.make_vae()
    share = batch // team.world

    def loss_of(step: int, rank: int) -> Tensor:
        rng = np.random.default_rng([config.seed, step, rank])
        rows = rng.integers(0, len(pixels), share)
        corners = rng.integers(0, sd_data.SIZE_PX - CROP_PX + 1, (share, 2))
        crops = [pixels[r, y : y + CROP_PX, x : x + CROP_PX]
                 for r, (y, x) in zip(rows, corners, strict=True)]  # fmt: skip
        return autoencoder_loss(vae, to_tensor(np.stack(crops)))

    figures = train({"vae": vae}, loss_of, config=config, team=team, checkpoint=work / "vae.pt")
    if team.rank == 0:
        vae.save_pretrained(work / "vae")
        (work / "vae.json").write_text(json.dumps(figures))
    return figures


@torch.inference_mode()
def encode_latents(work: Path, *, n: int, team: Team) -> None:
    """Encode the first n scenes (latent means, unscaled); each process takes its share."""
    vae: Any = AutoencoderKL.from_pretrained(work / "vae").eval()
    pixels = sd_data.open_pixels(work)
    own = np.array_split(np.arange(n), team.world)[team.rank]
    latents = np.empty((len(own), 4, sd_data.SIZE_PX // 8, sd_data.SIZE_PX // 8), np.float16)
    for part in chunks(len(own), 50):
        images = to_tensor(pixels[own[part]])
        latents[part] = vae.encode(images).latent_dist.mean.numpy()
    np.save(work / f"latents-{team.rank}-of-{team.world}.npy", latents)


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


def train_decoder(work: Path, *, config: LoopConfig, batch: int, team: Team) -> dict[str, float]:
    """Train the decoder alone on the cached latents, slightly noised; the latents stay valid.

    The noise (0.08 of each channel's spread) prepares it for latents that a U-Net has drawn.
    """
    pixels, latents = sd_data.open_pixels(work), _load_latents(work, team)
    spread = 0.08 * latents.std(dim=(0, 2, 3)).view(1, -1, 1, 1)
    vae: Any = AutoencoderKL.from_pretrained(work / "vae")
    share = batch // team.world

    def loss_of(step: int, rank: int) -> Tensor:
        rows = sd_data.batch_indices(step, seed=config.seed + 1, n=len(latents), batch=batch)
        rows = rows[rank * share : (rank + 1) * share]
        given = latents[torch.from_numpy(rows)]
        decoded = vae.decode(given + spread * torch.randn_like(given)).sample
        return picture_error(decoded - to_tensor(pixels[rows]))

    parts = {"decoder": vae.decoder, "leave": vae.post_quant_conv}
    figures = train(parts, loss_of, config=config, team=team, checkpoint=work / "decoder.pt")
    if team.rank == 0:
        vae.save_pretrained(work / "vae")
        (work / "decoder.json").write_text(json.dumps(figures))
    return figures


def _load_latents(work: Path, team: Team) -> Tensor:
    parts = [np.load(work / f"latents-{r}-of-{team.world}.npy") for r in range(team.world)]
    return torch.from_numpy(np.concatenate(parts)).float()


def _token_ids(tokenizer: CLIPTokenizer, captions: Sequence[str]) -> Tensor:
    return tokenizer(
        list(captions), padding="max_length", max_length=MAX_TOKENS, truncation=True,
        return_tensors="pt",
    ).input_ids  # fmt: skip


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


def train_unet(
    work: Path, *, out: Path, config: LoopConfig, batch: int, team: Team, export: bool
) -> dict[str, float]:
    """Train text encoder and U-Net together on the cached latents; write the pipeline to out."""
    vae: Any = AutoencoderKL.from_pretrained(work / "vae")
    latents = _load_latents(work, team)
    latents = standardise(vae, latents)
    captions = sd_data.read_captions(work)
    # each process writes its own copy, so that none reads half a file of another's
    tokenizer = write_tokenizer(work / f"tokenizer-{team.rank}", captions)
    ids = _token_ids(tokenizer, captions[: len(latents)])
    empty = _token_ids(tokenizer, [""])
    alphas = sd_model.make_scheduler().alphas_cumprod
    torch.manual_seed(config.seed)
    text_encoder, unet = sd_model.make_text_encoder(tokenizer), sd_model.make_unet()
    text_encoder.train()
    share = batch // team.world

    def loss_of(step: int, rank: int) -> Tensor:
        rows = sd_data.batch_indices(step, seed=config.seed, n=len(latents), batch=batch)
        rows = torch.from_numpy(rows[rank * share : (rank + 1) * share])
        drop = torch.rand(share, 1) < CAPTION_DROPOUT
        shown = torch.where(drop, empty, ids[rows])
        return denoising_loss(unet, text_encoder, latents=latents[rows], ids=shown, alphas=alphas)

    def write() -> None:
        parts = {"vae": vae, "text_encoder": text_encoder, "unet": unet}
        copies = {name: copy.deepcopy(part).eval() for name, part in parts.items()}
        sd_model.save_pipeline(out, tokenizer=tokenizer, **copies)  # pyright: ignore[reportArgumentType]
        write_tokenizer(out / "tokenizer", captions)  # CLIP's own two files, beside tokenizer.json

    figures = train(
        {"text_encoder": text_encoder, "unet": unet}, loss_of, config=config, team=team,
        checkpoint=work / "unet.pt", on_checkpoint=write if export else None,
    )  # fmt: skip
    if team.rank == 0:
        write()
        (work / "unet.json").write_text(json.dumps(figures))
    return figures


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stage", choices=STAGES, required=True)
    parser.add_argument("--work", type=Path, required=True, help="folder for scenes, checkpoints")
    parser.add_argument("--out", type=Path, default=SD_DIR)
    parser.add_argument("--scenes", type=int, default=20_000)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--export-every-s", type=float, default=0.0)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Run one stage."""
    options, team = _arguments(argv), Team()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)
    config = LoopConfig(
        budget=Budget(steps=options.steps, minutes=options.minutes),
        peak_lr=options.lr,
        seed=options.seed,
        checkpoint_every_s=options.export_every_s or 180.0,
    )
    if options.stage == "scenes":
        sd_data.render_store(options.work, n=options.scenes, first_seed=FIRST_SEED, workers=2)
    elif options.stage == "vae":
        logger.info("%s", train_vae(options.work, config=config, batch=options.batch, team=team))
    elif options.stage == "decoder":
        figures = train_decoder(options.work, config=config, batch=options.batch, team=team)
        logger.info("%s", figures)
    elif options.stage == "latents":
        encode_latents(options.work, n=options.scenes, team=team)
    else:
        figures = train_unet(
            options.work, out=options.out, config=config, batch=options.batch, team=team,
            export=options.export_every_s > 0,
        )  # fmt: skip
        logger.info("%s", figures)


if __name__ == "__main__":
    main()
