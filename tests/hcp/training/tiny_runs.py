"""Short trainings on drawn photos: as a run makes its steps, without Ray and without shards."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from hcp import HcpConfig
from hcp.training.batches import Batch, LoaderState, collate, iter_batches
from hcp.training.config import DataConfig, TrainConfig
from hcp.training.metrics import StepMetrics
from hcp.training.trainer import Trainer, train_steps
from storage.records import Sample
from tests.hcp.samples import epoch_source, make_sample

CONFIG = TrainConfig(
    steps=6,
    batch_size=2,
    learning_rate=1e-3,
    warmup_steps=2,
    data=DataConfig(resolution_px=32, caption_dropout=0.0, decode_threads=1),
    hcp=HcpConfig(width=16, gate="zero"),
)
SAMPLES = [make_sample(i, caption="a woman doing yoga") for i in range(4)]


def batches(
    trainer: Trainer, samples: Sequence[Sample] = SAMPLES
) -> Iterator[tuple[Batch, LoaderState]]:
    """From where the trainer is."""
    return iter_batches(
        epoch_source(samples),
        lambda examples: collate(examples, tokenizer=trainer.pipeline.tokenizer),
        batch_size=trainer.config.batch_size,
        config=trainer.config.data,
        seed=trainer.config.seed,
        state=trainer.loader,
    )


def run(trainer: Trainer, until: int, samples: Sequence[Sample] = SAMPLES) -> list[StepMetrics]:
    """The steps up to ``until``, without what the clock and the machine say."""
    unmeasured: dict[str, Any] = {"images_per_s": 0.0, "data_wait": 0.0, "device_memory_mib": 0.0}
    found = list(train_steps(trainer, batches(trainer, samples), until=until))
    return [dataclasses.replace(metrics, **unmeasured) for metrics in found]
