"""Encode a dataset's shards into a cache: latents of crops and their mirror images, text, priors.

Members of a sample in the cache's tar, with V captions (two where the mirrored one reads
otherwise), K text tokens, and latents [C, h, w]:

| member | content |
|---|---|
| ``json`` | ``sample``: its facts as in the shard; ``captions``; ``crops``: ``size_px``, ``box`` |
| ``text.safetensors`` | ``text`` [V, K, C], SDXL: ``pooled`` [V, D]; ``input_ids``, ``kinds`` |
| ``<n>.safetensors`` | crop n: ``mean`` and ``std`` [C, h, w] of the latents before scaling |
| ``<n>.flip.safetensors`` | its mirror image, where photos are flipped |
| ``<n>.png`` | the crop's people: 0 background, i = person i of those who passed the gate |

Everything is encoded in float32, and kept in the cache's dtype.
"""

import io
import json
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save
from torch import Tensor

from hcp.base import BasePipeline
from hcp.latents import LatentScale
from hcp.tokens import human_token_kinds
from hcp.tokens.mirror import mirrored_caption
from hcp.training.batches import FAULTS, sample_rng, tokenize
from hcp.training.config import DataConfig, TrainConfig
from hcp.training.denoising import encode_text, posterior
from hcp.training.examples import (
    PixelBox,
    crop_box,
    crop_mask,
    nearest_aspect,
    passing,
    passing_mask,
)
from storage.caches import BAD, EMPTY, Cache, CachedShard, commit_cached
from storage.canonical import canonical_json
from storage.codec import sample_facts
from storage.locations import exists, write_atomic
from storage.pictures import stored_photo
from storage.records import Sample
from storage.shard_reader import open_shard

DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}
CROP_SEED = 0
"""Crop i of a photo is the one that a training of this seed takes in its epoch i."""

Members = dict[str, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Crop:
    """One crop of a photo, before it is encoded."""

    box: PixelBox
    image: NDArray[np.uint8]  # [H, W, 3]
    mask: NDArray[np.uint8]  # [H, W]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A sample, its crops, and the captions that it may have."""

    sample: Sample
    crops: Sequence[Crop]
    captions: tuple[str, ...]  # its own; that of its mirror image, where it has one and it differs
    flips: bool  # whether it may be mirrored


class CacheWriter:
    """A base's frozen encoders, and one verb: ``write`` a shard.

    Two threads may write two shards at once: one prepares photos while the other has the models.
    """

    def __init__(self, pipeline: BasePipeline, config: TrainConfig, cache: Cache) -> None:
        """Get ready to write.

        Args:
            pipeline: in float32; its U-Net is not used.
            config: with a settled resolution.
            cache: of that base and these settings.
        """
        facts = dict(cache.facts) | LatentScale.of(pipeline.vae.config).to_json()
        self._pipeline, self._config, self.cache = pipeline, config, replace(cache, facts=facts)
        self._models = threading.Lock()
        self._dtype = DTYPES[config.cache.dtype]

    def write(self, fingerprint: str, *, poison: Set[str] = frozenset()) -> CachedShard:
        """Encode and commit one shard of the data set.

        A sample that cannot be encoded is kept as such, with the reason.

        Args:
            fingerprint: of the shard.
            poison: keys of samples that killed a worker: not touched.
        Raises:
            ShardError: the shard as a whole cannot be read.
            CacheError: the cache cannot be written.
        """
        if not exists(self.cache.file(EMPTY)):
            write_atomic(self.cache.file(EMPTY), save(self._text([""])))
        return commit_cached(self.cache, fingerprint, self.members(fingerprint, poison=poison))

    def members(
        self, fingerprint: str, *, poison: Set[str] = frozenset(), only: Set[str] | None = None
    ) -> Iterator[tuple[str, Members]]:
        """(key, members) of every sample of a shard, or of some of them, in its order."""
        config = self._config
        with (
            open_shard(self.cache.root, fingerprint) as shard,
            ThreadPoolExecutor(config.data.decode_threads) as pool,
        ):

            def prepare(item: tuple[str, Mapping[str, bytes]]) -> Prepared | str:
                key, content = item
                if key in poison:
                    return "its worker died of it, several times"
                try:
                    return prepared(shard.decode(key, dict(content)), config)
                except FAULTS as error:
                    return f"{type(error).__name__}: {error}"

            wanted = (item for item in shard if only is None or item[0] in only)
            chunks = _chunks(wanted, config.cache.batch_size)
            ahead = None  # the chunk whose photos the threads prepare while one is encoded
            while True:
                chunk = next(chunks, [])
                coming = [key for key, _ in chunk], [pool.submit(prepare, item) for item in chunk]
                if ahead is not None:
                    keys, futures = ahead
                    yield from self._encoded(keys, [future.result() for future in futures])
                if not chunk:
                    return
                ahead = coming

    def _encoded(
        self, keys: Sequence[str], items: Sequence[Prepared | str]
    ) -> Iterator[tuple[str, Members]]:
        good = [each for each in items if not isinstance(each, str)]
        with self._models:
            encoded = iter(zip(self._latents(good), self._texts(good), strict=True))
        for key, each in zip(keys, items, strict=True):
            if isinstance(each, str):
                yield key, _bad(each)
                continue
            latents, text = next(encoded)
            if all(_finite(tensors) for tensors in (text, *latents.values())):
                yield key, _members(each, latents | {"text": text})
            else:
                dtype = self._config.cache.dtype
                yield key, _bad(f"its latents or text embeddings are not finite in {dtype}")

    def _latents(self, items: Sequence[Prepared]) -> list[dict[str, dict[str, Tensor]]]:
        """``mean`` and ``std`` of each crop by member name, of each photo."""
        found: list[dict[str, dict[str, Tensor]]] = [{} for _ in items]
        for (n, flip, *_), rows in _same_size(items).items():
            images = np.stack([items[i].crops[n].image for i in rows])
            pixels = torch.from_numpy(images).permute(0, 3, 1, 2) / 127.5 - 1.0
            mean, std = posterior(self._pipeline, pixels.flip(-1) if flip else pixels)
            for row, i in enumerate(rows):
                name = f"{n}.flip" if flip else f"{n}"
                found[i][name] = {"mean": self._kept(mean[row]), "std": self._kept(std[row])}
        return found

    def _texts(self, items: Sequence[Prepared]) -> list[dict[str, Tensor]]:
        """What the text encoders make of the captions of each."""
        every = [caption for each in items for caption in each.captions]
        if not every:
            return []
        tensors = self._text(every)
        sizes = [len(each.captions) for each in items]
        parts = {name: value.split(sizes) for name, value in tensors.items()}
        return [{name: part[i] for name, part in parts.items()} for i in range(len(items))]

    def _text(self, captions: Sequence[str]) -> dict[str, Tensor]:
        tokenizer = self._pipeline.tokenizer
        ids = tokenize(tokenizer, captions)
        text, pooled = encode_text(self._pipeline, ids, captions)
        kinds: Any = human_token_kinds(tokenizer, captions)
        tensors = {
            "text": self._kept(text),
            "input_ids": ids.to(torch.int32),
            "kinds": kinds.to(torch.uint8),
        }
        return tensors | ({} if pooled is None else {"pooled": self._kept(pooled)})

    def _kept(self, tensor: Tensor) -> Tensor:
        return tensor.to("cpu", self._dtype)


def prepared(sample: Sample, config: TrainConfig) -> Prepared:
    """The crops and captions of a sample that a training may ask for."""
    data = config.data
    mirrored = mirrored_caption(sample.caption) if data.flip_probability > 0 else None
    captions = (sample.caption,) if mirrored is None else (sample.caption, mirrored)
    return Prepared(
        sample=sample,
        crops=render_crops(sample, data, config.cache.crops),
        captions=tuple(dict.fromkeys(captions)),
        flips=mirrored is not None,
    )


def render_crops(sample: Sample, config: DataConfig, n_crops: int) -> list[Crop]:
    """So many crops of a photo's own bucket's aspect, and of a square where that differs.

    A training crops square what does not fill a batch of its bucket.
    """
    people = [person.bbox_xyxy_px for person in passing(sample.people)]
    mask = passing_mask(sample)
    own = nearest_aspect(sample.width_px, sample.height_px, config.aspects)
    found: list[Crop] = []
    image = stored_photo(sample.image_jpeg)
    for aspect in dict.fromkeys((own, 1.0)):
        size_px = config.bucket_px(aspect)
        for number in range(n_crops):
            box = crop_box(
                (sample.width_px, sample.height_px), people, aspect=size_px[0] / size_px[1],
                min_scale=config.min_crop_scale, rng=sample_rng(CROP_SEED, number, sample.key),
            )  # fmt: skip
            resized = image.resize(size_px, Image.Resampling.LANCZOS, box=box)
            people_mask = crop_mask(mask, box=box, size_px=size_px)
            found.append(Crop(box=box, image=np.asarray(resized), mask=people_mask))
    return found


def _same_size(items: Sequence[Prepared]) -> dict[tuple[int, bool, int, int], list[int]]:
    """The photos of each (crop's number, mirrored, height, width): what is encoded together."""
    found: dict[tuple[int, bool, int, int], list[int]] = {}
    for i, each in enumerate(items):
        for n, crop in enumerate(each.crops):
            height, width, _ = crop.image.shape
            for flip in (False, True) if each.flips else (False,):
                found.setdefault((n, flip, height, width), []).append(i)
    return found


def _members(item: Prepared, tensors: Mapping[str, dict[str, Tensor]]) -> Members:
    places = [{"size_px": crop.image.shape[1::-1], "box": crop.box} for crop in item.crops]
    facts = {"sample": sample_facts(item.sample), "captions": item.captions, "crops": places}
    members = {"json": canonical_json(facts).encode()}
    for name, each in tensors.items():
        members[f"{name}.safetensors"] = save({k: v.contiguous() for k, v in each.items()})
    return members | {f"{n}.png": _png(crop.mask) for n, crop in enumerate(item.crops)}


def _png(mask: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(mask).save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()


def _bad(reason: str) -> Members:
    return {BAD: json.dumps({"reason": reason}).encode()}


def _finite(tensors: Mapping[str, Tensor]) -> bool:
    return all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values())


def _chunks(
    items: Iterable[tuple[str, dict[str, bytes]]], size: int
) -> Iterator[list[tuple[str, dict[str, bytes]]]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk
