"""One worker of a training: load the base, resume, stream, train. Knows nothing of Ray."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from hcp.base import load_base
from hcp.training.agreement import gathered
from hcp.training.batches import Batch, LoaderState, ahead, collate, iter_batches
from hcp.training.checkpoints import CheckpointFolder, Kept
from hcp.training.config import TrainConfig
from hcp.training.draining import NOTICES
from hcp.training.inputs import Inputs, open_inputs
from hcp.training.loop import RunEnd, Surroundings, run_training
from hcp.training.methods.names import trains_unet
from hcp.training.metrics import StepMetrics
from hcp.training.mix import mix_name
from hcp.training.precision import base_dtype
from hcp.training.state import load_checkpoint
from hcp.training.stopping import ASKED
from hcp.training.trainer import Trainer
from hcp.training.validation import held_out, photo_batch
from hcp.training.watch import Watch
from storage.errors import HcpError
from storage.versions import open_version

logger = logging.getLogger(__name__)

Tell = Callable[[str, Any], None]
"""What a worker says to the driver: ("step", metrics as a dict), ("past", those of a step before a
resume), ("seen", a validation or pictures) or ("note", a sentence)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainJob:
    """A training, the same for all its workers; plain data that goes to them."""

    config: TrainConfig
    root: str  # of the dataset
    version: str
    base: str
    run: str  # the run's folder
    keep_checkpoints: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Which worker of how many this is, and what it computes on."""

    rank: int = 0
    world_size: int = 1
    device: str = "cpu"


def train_worker(job: TrainJob, place: Place, tell: Tell) -> RunEnd:
    """Train, on one of the workers; rank 0 tells of its steps and writes the checkpoints.

    What would come again after a restart is in the result, not raised.
    """
    folder = CheckpointFolder(job.run, keep=job.keep_checkpoints)
    trainer: Trainer | None = None

    def begin() -> None:
        nonlocal trainer
        trainer = make_trainer(job, place, without=inputs.without, teachers=inputs.teachers)

    try:
        inputs = find_inputs(job, place)
        _together(begin, place.world_size)
        assert trainer is not None
        resume(trainer, folder)
    except HcpError as error:
        return RunEnd(step=0, last=None, best=None, error=error)
    trainer.agreement.stop_asked, trainer.agreement.save_asked = ASKED.is_set, NOTICES.take
    sizes = {
        each.root.shard(shard, "tar"): count.train
        for each in inputs.versions
        for shard, count in zip(each.shards, each.counts, strict=True)
        if count.train
    }
    trainer.agreement.shard_size = sizes.__getitem__

    def on_metrics(metrics: StepMetrics) -> None:
        if place.rank == 0:
            tell("step", asdict(metrics))

    def on_note(text: str) -> None:
        logger.warning(text, extra={"told": True})  # to the driver, on the next line
        tell("note", text)

    if place.rank == 0:
        for metrics in trainer.recent:
            tell("past", asdict(metrics))
    watch = make_watch(trainer, inputs, tell)
    surroundings = Surroundings(
        folder=folder,
        n_shards=len(sizes),
        n_samples=sum(sizes.values()),
        on_metrics=on_metrics,
        on_note=on_note,
        look=watch.look,
        validate=lambda _: watch.validation_loss(),
    )
    return run_training(trainer, ahead(open_batches(trainer, inputs)), surroundings)


def find_inputs(job: TrainJob, place: Place) -> Inputs:
    """What the training reads, the same on every rank: a cache only where all find it.

    Raises:
        HcpError: the data, or a cache that is required, cannot be used.
    """
    found: Inputs | None = None

    def find() -> None:
        nonlocal found
        found = open_inputs(open_version(job.root, job.version), job.config, job.base)

    _together(find, place.world_size)
    assert found is not None
    if all(gathered(bool(found.caches), place.world_size)):
        return found
    return Inputs(versions=found.versions)


def make_trainer(
    job: TrainJob, place: Place, *, without: Sequence[str] = (), teachers: tuple[str, ...] = ()
) -> Trainer:
    """The base with the method in it, before its first step.

    Args:
        job: the training.
        place: which worker this is.
        without: parts of the base that it does without.
        teachers: digests of the pose models that made the data's priors.
    Raises:
        HcpError, ValueError: the base or the settings cannot be used.
    """
    dtype = base_dtype(job.config.precision, place.device)
    if trains_unet(job.config.method):  # what trains is float32, and begins with the base's bits
        dtype = torch.float32
    return Trainer(
        load_base(job.base, device=place.device, dtype=dtype, without=without),
        job.config, rank=place.rank, world_size=place.world_size,
        base_model=job.base, dataset_version=mix_name(job.version, job.config.data.also),
        teachers=teachers,
    )  # fmt: skip


def resume(trainer: Trainer, folder: CheckpointFolder) -> None:
    """Go on from the last whole checkpoint, the same one on every rank; else ``init_from``.

    Raises:
        HcpError: it does not fit this training, or all are damaged.
    """
    found: Kept | None = None

    def look() -> None:
        nonlocal found
        if trainer.rank == 0:
            found = folder.newest_whole()

    def load() -> None:
        if found is not None:
            load_checkpoint(found.uri, trainer)
            logger.info("rank %d goes on after step %d", trainer.rank, trainer.step_done)
        elif trainer.config.init_from:
            trainer.start_from(trainer.config.init_from)
            logger.info("rank %d begins with %s", trainer.rank, trainer.config.init_from)

    _together(look, trainer.world_size)
    found = gathered(found, trainer.world_size)[0]
    _together(load, trainer.world_size)


def open_batches(trainer: Trainer, inputs: Inputs) -> Iterator[tuple[Batch, LoaderState]]:
    """This rank's batches from where the trainer is."""
    config = trainer.config
    return iter_batches(
        inputs.stream(config),
        lambda examples: collate(examples, tokenizer=trainer.pipeline.tokenizer),
        batch_size=config.batch_size,
        config=config.data,
        seed=config.seed,
        state=trainer.loader,
        rank=trainer.rank,
        world_size=trainer.world_size,
    )


def make_watch(trainer: Trainer, inputs: Inputs, tell: Tell) -> Watch:
    """What looks at this rank's training."""
    config = trainer.config.validation
    return Watch(
        trainer,
        lambda: held_out(inputs.streams("val", seed=config.seed), config),
        to_batch=lambda place: photo_batch(trainer, place.read()),
        tell=lambda seen: tell("seen", seen),
    )


def _together(act: Callable[[], None], world_size: int) -> None:
    # Every rank must know, or the healthy ones would wait for the others' gradients.
    problem: HcpError | None = None
    try:
        act()
    except HcpError as error:
        problem = error
    except ValueError as error:
        problem = HcpError(str(error))
    problems = gathered(problem, world_size)
    if (first := next((p for p in problems if p is not None), None)) is not None:
        raise first
