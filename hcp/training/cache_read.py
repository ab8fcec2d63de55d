"""Read a cache: samples that were encoded before, where photos would stand.

Dimension legend: C h w latent channels, height and width, K text tokens, H W the crop's pixels.
"""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load
from torch import Tensor

from hcp.latents import LatentScale
from hcp.training.config import DataConfig
from hcp.training.encoded import EncodedExample
from hcp.training.examples import (
    Example,
    PreparedSample,
    choose,
    crop_keypoints,
    crop_place,
    flip_keypoints,
    passing,
)
from storage.caches import EMPTY, Cache, CachedTar
from storage.codec import sample_fields
from storage.errors import CacheError, CheckpointError, ShardError
from storage.locations import read_bytes

_NO_MASK = np.zeros((0, 0), dtype=np.uint8)


class CacheReader:
    """A cache that is read: its shards, and what all its samples share."""

    def __init__(self, cache: Cache) -> None:
        """Read what the shards share.

        Raises:
            CacheError: it cannot be read.
        """
        self.cache = cache
        try:
            self.empty = load(read_bytes(cache.file(EMPTY)))
            self.scale = LatentScale.of(cache.facts)
        except (OSError, ValueError, KeyError, CheckpointError) as error:
            raise CacheError(f"cache {cache.uri} cannot be read: {error!r}") from error

    def open(self, fingerprint: str) -> "CachedShardReader":
        """The samples of one shard.

        Raises:
            ShardError: it is not cached, or broken.
        """
        return CachedShardReader(self, fingerprint)


class CachedShardReader:
    """One cached shard; read by any thread, closed with its last sample."""

    def __init__(self, reader: CacheReader, fingerprint: str) -> None:
        self._reader, self._tar = reader, CachedTar(reader.cache, fingerprint)
        self.uri = self._tar.uri

    def list_keys(self) -> tuple[str, ...]:
        """The samples' keys, in the shard's order."""
        return tuple(self._tar.list_keys())

    def sample(self, key: str) -> "CachedSample":
        """One sample; its latents are read when they are wanted.

        Raises:
            ShardError: it could not be encoded, or is broken.
        """
        where = f"{self.uri} sample {key}"
        content = self._tar.read(key, "json")
        try:
            facts = json.loads(content)
            return CachedSample(
                **sample_fields(facts["sample"]),
                image_jpeg=b"",
                mask=_NO_MASK,
                captions=tuple(facts["captions"]),
                crops=tuple(
                    CachedCrop(
                        number=number, size_px=tuple(crop["size_px"]), box=tuple(crop["box"])
                    )
                    for number, crop in enumerate(facts["crops"])
                ),
                tar=self._tar,
                reader=self._reader,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ShardError(f"{where}: not a cached sample: {error!r}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedCrop:
    """One crop of a cached photo."""

    number: int
    size_px: tuple[int, int]  # width and height of the crop
    box: tuple[float, float, float, float]  # xyxy, pixels of the photo


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedSample(PreparedSample):
    """A sample without its photo and mask; both lie encoded in the cache."""

    captions: tuple[str, ...]  # as it is; and of the mirror image, where that reads otherwise
    crops: tuple[CachedCrop, ...]
    tar: CachedTar
    reader: CacheReader

    def example(self, *, config: DataConfig, aspect: float, rng: np.random.Generator) -> Example:
        """One of the cached crops, flipped or not, by the same draws as with a photo.

        Raises:
            ShardError: no crop of this bucket's size is cached, or what is cached is broken.
        """
        choice = choose(self, config, aspect=aspect, rng=rng)
        fitting = [crop for crop in self.crops if crop.size_px == choice.size_px]
        if not fitting:
            raise ShardError(f"{self.tar.uri} sample {self.key}: no crop of {choice.size_px} px")
        crop = fitting[int(rng.integers(len(fitting)))] if len(fitting) > 1 else fitting[0]
        mask, keypoints = (
            self._mask(crop),
            crop_keypoints(passing(self.people), box=crop.box, size_px=crop.size_px),
        )
        if choice.flip:
            mask, keypoints = mask[:, ::-1], flip_keypoints(keypoints, crop.size_px[0])
        width, height = crop.size_px
        return Example(
            key=self.key,
            caption=choice.caption,
            pixels=np.empty((0, height, width), dtype=np.uint8),
            keypoints=keypoints,
            mask=np.ascontiguousarray(mask),
            source_px=(self.height_px, self.width_px),
            crop_px=crop_place(
                crop.box, width_px=self.width_px, size_px=crop.size_px, flip=choice.flip
            ),
            encoded=self._encoded(crop, choice.caption, flip=choice.flip),
        )

    def _encoded(self, crop: CachedCrop, caption: str, *, flip: bool) -> EncodedExample:
        latents = self._tensors(f"{crop.number}.flip" if flip else f"{crop.number}")
        text, row = self.reader.empty, 0
        if caption:
            text, row = self._tensors("text"), self.captions.index(caption)
        return EncodedExample(
            mean=latents["mean"],
            std=latents["std"],
            text=text["text"][row],
            pooled=text["pooled"][row] if "pooled" in text else None,
            input_ids=text["input_ids"][row].long(),
            token_kinds=text["kinds"][row].long(),
            scale=self.reader.scale,
        )

    def _tensors(self, name: str) -> Mapping[str, Tensor]:
        return load(self.tar.read(self.key, f"{name}.safetensors"))

    def _mask(self, crop: CachedCrop) -> NDArray[np.uint8]:
        content = io.BytesIO(self.tar.read(self.key, f"{crop.number}.png"))
        with Image.open(content, formats=("PNG",)) as image:
            return np.asarray(image)
