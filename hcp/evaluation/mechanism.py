"""The mechanism of HcP, measured: how much of a human word's attention falls on people.

On held-out photos with known person masks, noised to fixed timesteps with a fixed seed. The base
is judged by its frozen map M, HcP by the fused map M^ that its layers really use, and by M_h alone;
other methods by the map M of the U-Net that they changed.

Dimension legend: B photos, J human tokens, h w map height and width.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from diffusers import DDPMScheduler
from numpy.typing import NDArray
from torch import Tensor

from hcp.base import BasePipeline, native_size_px
from hcp.evaluation.attention_maps import MapRecorder, Word, select_words
from hcp.evaluation.generation import attached, hcp_layers, watched_sites
from hcp.targets import mask_target
from hcp.training.batches import Batch, collate, sample_rng
from hcp.training.config import DataConfig
from hcp.training.denoising import encode, step_generator
from hcp.training.examples import make_example
from hcp.training.methods.trained import Trained
from storage.records import Sample

PHOTOS_AT_ONCE = 4
"""Photos of a batch, which share their noise: other batches have other maps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotoMaps:
    """Attention of one photo's human words; maps sum to 1 over their pixels."""

    key: str
    caption: str
    image: NDArray[np.uint8]  # [H, W, 3], the square crop that the model saw
    mask: NDArray[np.bool_]  # [H, W], people
    words: tuple[Word, ...]
    base: NDArray[np.float32]  # [J, h, w], frozen map M of the plain base
    fused: NDArray[np.float32] | None
    """[J, h, w], what is used once trained: M^ = M + gamma g M_h, or the changed M without HcP
    layers; None for the base alone."""
    human: NDArray[np.float32] | None  # [J, h, w], M_h; None without HcP layers


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionShare:
    """Share of the human tokens' attention that lies inside the person masks, per photo."""

    base: tuple[float, ...]
    fused: tuple[float, ...]
    human: tuple[float, ...]
    chance: tuple[float, ...]  # the masks' share of the photo: what a flat map would get


def probe_photos(
    pipeline: BasePipeline,
    samples: Iterable[Sample],
    *,
    adapter: Trained | None,
    timesteps: Sequence[int],
    seed: int = 0,
    batch_size: int = PHOTOS_AT_ONCE,
) -> list[PhotoMaps]:
    """Attention maps of held-out photos; photos without human words or masks are left out.

    The base's maps come from a pass without the adapter, the others from a pass with it; both see
    the same noise.
    """
    size_px = native_size_px(pipeline)
    config = DataConfig(resolution_px=size_px, flip_probability=0.0, caption_dropout=0.0)
    found: list[PhotoMaps] = []
    rest = iter(samples)
    while part := list(islice(rest, batch_size)):
        examples = [make_example(s, config=config, rng=sample_rng(seed, 0, s.key)) for s in part]
        batch = collate(examples, tokenizer=pipeline.tokenizer)
        found += _probe(pipeline, batch, adapter=adapter, timesteps=timesteps, seed=seed)
    return [maps for maps in found if maps.words and maps.mask.any()]


def attention_share(photos: Sequence[PhotoMaps]) -> AttentionShare:
    """The mechanism's number for each photo: mean over its human tokens."""
    shares: dict[str, list[float]] = {"base": [], "fused": [], "human": [], "chance": []}
    for photo in photos:
        mask = torch.from_numpy(photo.mask)[None]
        tokens = sorted({t for word in photo.words for t in word.tokens})
        shares["chance"].append(float(photo.mask.mean()))
        for name in ("base", "fused", "human"):
            maps = getattr(photo, name)
            if maps is None:
                continue
            inside = mask_target(mask, map_size=maps.shape[-2:])[0].numpy()
            shares[name].append(float((maps[tokens] * inside).sum(axis=(1, 2)).mean()))
    return AttentionShare(**{name: tuple(values) for name, values in shares.items()})


@torch.no_grad()
def _probe(
    pipeline: BasePipeline,
    batch: Batch,
    *,
    adapter: Trained | None,
    timesteps: Sequence[int],
    seed: int,
) -> list[PhotoMaps]:
    columns, words = select_words(pipeline.tokenizer, batch.input_ids, batch.token_kinds)
    sites = watched_sites(pipeline, adapter)
    plain = MapRecorder(pipeline.unet, sites, columns)
    with plain.recording():
        _denoise(pipeline, batch, timesteps=timesteps, seed=seed)
    base, fused, human = plain.mean("base"), None, None
    layers = hcp_layers(adapter)
    recorder = MapRecorder(pipeline.unet, sites, columns, adapter=layers)
    if layers is not None:
        injection = layers.to(pipeline.device).inject(pipeline.unet)
        try:
            with injection.tokens(batch.token_kinds > 0), recorder.recording():
                _denoise(pipeline, batch, timesteps=timesteps, seed=seed)
        finally:
            injection.remove()
        fused, human = recorder.mean("fused"), recorder.mean("human")
    elif adapter is not None:
        with attached(pipeline, adapter), recorder.recording():
            _denoise(pipeline, batch, timesteps=timesteps, seed=seed)
        fused = recorder.mean("base")
    pixels = batch.pixels.permute(0, 2, 3, 1).numpy()
    return [
        PhotoMaps(
            key=batch.keys[i],
            caption=batch.captions[i],
            image=pixels[i],
            mask=batch.masks[i].numpy() > 0,
            words=tuple(words[i]),
            base=base[i].numpy(),
            fused=None if fused is None else fused[i].numpy(),
            human=None if human is None else human[i].numpy(),
        )
        for i in range(len(batch.keys))
    ]


def _denoise(pipeline: BasePipeline, batch: Batch, *, timesteps: Sequence[int], seed: int) -> None:
    scheduler: Any = DDPMScheduler.from_config(pipeline.scheduler.config)
    for t in timesteps:
        generator = step_generator(seed, t, 0, 0)
        encoded = encode(pipeline, batch, generator)
        latents = encoded.latents
        noise = torch.randn(latents.shape, generator=generator).to(latents)
        steps: Tensor = torch.full((len(latents),), t, device=latents.device)
        noisy = scheduler.add_noise(latents, noise, steps)
        encoded.predict(pipeline.unet, noisy, steps)
