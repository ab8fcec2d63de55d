"""A training step from a cache of latents and text embeddings, against one from photos.

Stable Diffusion 1.5's layout at reduced width: U-Net at a fifth, VAE at a quarter of its own (its
groups allow no less), the text encoder at a fifth, and once as published: that is the width which
the reduced U-Net of the other benchmarks keeps. Random weights, photos of 160 px, the
training's own loader: reading, decoding and cropping are in the step, whichever thread does them.
Both ways take turns inside one run, and processor time is measured. Run:
``python -m benchmarks.bench_cache``.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from benchmarks.bench_training import make_sample
from benchmarks.measure import alternate, summary
from benchmarks.output import finish, options
from benchmarks.unets import SIZES, Base, make_unet
from demo.embedded import SD_DIR
from hcp import HcpConfig
from hcp.training.batches import collate, iter_batches
from hcp.training.cache import base_parts, cache_settings
from hcp.training.cache_read import CacheReader
from hcp.training.cache_write import CacheWriter
from hcp.training.config import CacheConfig, DataConfig, TrainConfig
from hcp.training.trainer import Trainer
from storage.caches import Cache
from storage.layout import Root
from storage.records import SourceRecord, Unit
from storage.shards import commit_unit
from storage.streaming import SampleStream
from storage.versions import DatasetVersion, publish_version

TARGET = 0.6
SIDE_PX, BATCH = 256, 2
TEXT = {"reduced": (160, 4), "published": (768, 12)}
"""Width and heads of the text encoder."""
CPU = torch.device("cpu")


def main() -> None:
    """Measure, print, write."""
    given = options(__doc__, "cache").parse_args()
    rounds, photos, side_px = (2, 4, 64) if given.quick else (10, 16, SIDE_PX)
    torch.set_num_threads(1)
    result: dict[str, Any] = {
        "settings": {"side_px": side_px, "batch": BATCH, "rounds": rounds, "photos": photos}
    }
    for text in TEXT:
        with tempfile.TemporaryDirectory() as folder:
            base = Reduced(text=text, side_px=side_px)
            result[text] = measure(Path(folder), base, rounds=rounds, photos=photos)
    rows: list[tuple[str, object, str]] = []
    for text, found in result.items():
        if text in TEXT:
            rows += [
                (f"{text} text encoder: step from photos, s", found["step"]["photos_s"], ""),
                ("  step from the cache, s", found["step"]["cache_s"], ""),
                ("  from the cache / from photos", found["step"]["ratio"], f"<= {TARGET}"),
                ("  its range over rounds", f"{found['step']['ratio_range']}", ""),
                ("  reading a cached photo, ms", found["read_ms"], ""),
                ("  cached photo, KiB", found["photo_kib"], ""),
                ("  encoding a photo once, s", found["encode_s"], ""),
            ]
    finish(given, result, rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reduced:
    """The base that is measured."""

    text: str
    side_px: int

    def pipeline(self) -> Any:
        """The layout at reduced width, the same random weights each time."""
        width, heads = TEXT[self.text]
        layout = {**SIZES["reduced"][0], "cross_attention_dim": width}
        unet = make_unet(Base(unet=layout, side=self.side_px // 8, text_dim=width, device=CPU))
        torch.manual_seed(1)
        vae: Any = AutoencoderKL
        text: Any = CLIPTextModel
        build: Any = StableDiffusionPipeline
        return build(
            vae=vae(
                block_out_channels=(32, 64, 128, 128), layers_per_block=2,
                down_block_types=("DownEncoderBlock2D",) * 4,
                up_block_types=("UpDecoderBlock2D",) * 4,
            ).eval(),
            text_encoder=text(CLIPTextConfig(
                hidden_size=width, intermediate_size=4 * width, num_hidden_layers=12,
                num_attention_heads=heads,
            )).eval(),
            tokenizer=CLIPTokenizer.from_pretrained(SD_DIR / "tokenizer"),
            unet=unet, scheduler=DDIMScheduler(steps_offset=1, clip_sample=False),
            safety_checker=None, feature_extractor=None, requires_safety_checker=False,
        )  # fmt: skip


def measure(folder: Path, base: Reduced, *, rounds: int, photos: int) -> dict[str, Any]:
    """All figures of one base and one small dataset."""
    version = make_version(folder / "data", photos)
    config = TrainConfig(
        batch_size=BATCH, hcp=HcpConfig(width=64), ema_decay=None,
        data=DataConfig(resolution_px=base.side_px, decode_threads=1),
        cache=CacheConfig(use="required"),
    )  # fmt: skip
    whole, bare = base.pipeline(), base.pipeline()
    whole.save_pretrained(folder / "base")
    start = time.process_time()
    cache = write_cache(version, config, folder / "base", whole)
    encode_s = (time.process_time() - start) / photos
    bare.vae, bare.text_encoder = None, None
    steps = {
        "photos": stepper(Trainer(whole, config), version, None),
        "cache": stepper(Trainer(bare, config), version, CacheReader(cache)),
    }
    seconds = alternate(steps, rounds, CPU)
    tar = Path(cache.file(f"{version.shards[0]}.tar"))
    return {
        "step": summary(seconds, "cache", "photos"),
        "read_ms": round(reading_ms(version, config, cache), 3),
        "photo_kib": round(tar.stat().st_size / photos / 1024, 1),
        "encode_s": round(encode_s, 4),
    }


def make_version(root: Path, photos: int) -> DatasetVersion:
    """Drawn photos in one shard."""
    samples = [replace(make_sample(i), key=f"{i:016x}") for i in range(photos)]
    records = [
        SourceRecord(key=s.key, uri=s.uri, caption=s.caption, content_tag=s.key) for s in samples
    ]
    unit = Unit(fingerprint="0" * 32, records=records)
    commit_unit(Root.of(root), unit, outcomes=samples)
    return publish_version(root, [unit.fingerprint], config={})


def write_cache(version: DatasetVersion, config: TrainConfig, base: Path, pipeline: Any) -> Cache:
    """Encode the version."""
    settings = cache_settings(config, base_parts(str(base)))
    writer = CacheWriter(pipeline, config, Cache(root=version.root, settings=settings))
    for name in version.shards:
        writer.write(name)
    return writer.cache


def stepper(
    trainer: Trainer, version: DatasetVersion, reader: CacheReader | None
) -> Callable[[], None]:
    """One optimizer step with its loading; nothing is prepared behind the clock's back."""
    batches = loader(version, trainer.config, reader, trainer.pipeline.tokenizer)

    def run() -> None:
        trainer.step([next(batches)])

    return run


def loader(
    version: DatasetVersion, config: TrainConfig, reader: CacheReader | None, tokenizer: Any
) -> Iterator[Any]:
    """The training's own batches."""
    opened = None if reader is None else reader.open
    return iter_batches(
        SampleStream(version, split="train", seed=0, open_shard=opened),
        lambda examples: collate(examples, tokenizer=tokenizer),
        batch_size=config.batch_size, config=config.data, seed=0,
    )  # fmt: skip


def reading_ms(version: DatasetVersion, config: TrainConfig, cache: Cache) -> float:
    """Wall milliseconds of a cached photo, from the disk to the batch."""
    batches = loader(version, config, CacheReader(cache), None)
    spent: list[float] = []
    for _ in range(20):
        start = time.perf_counter()
        next(batches)
        spent.append(time.perf_counter() - start)
    return 1000 * statistics.median(spent) / config.batch_size


if __name__ == "__main__":
    main()
