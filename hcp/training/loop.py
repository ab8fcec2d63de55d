"""One rank's training from its first step, or a checkpoint, to its end. Knows nothing of Ray.

What must not end a training does not: a step that is not finite is skipped, a sample that cannot
be read is counted, a checkpoint that cannot be written is tried again at the next one.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field

from hcp.training.agreement import Agreement, Bad
from hcp.training.batches import Batch, LoaderState
from hcp.training.checkpoints import CheckpointFolder, Kept, best_of
from hcp.training.metrics import StepMetrics
from hcp.training.run_folder import OnMetrics, OnNote
from hcp.training.trainer import Trainer, train_steps
from storage.errors import CheckpointError, DivergedError, HcpError, ShardError

logger = logging.getLogger(__name__)

_NAMED = 3  # unreadable samples that a message names, the last ones; the run's summary has all


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnd:
    """How a training ended, on rank 0."""

    step: int
    last: Kept | None  # the last checkpoint
    best: Kept | None  # that of the lowest validation loss; None: there was no validation
    skipped: int = 0  # steps whose loss or gradient was not finite
    bad: Bad = field(default_factory=dict[str, dict[str, str]])  # what could not be read
    bad_samples: int = 0  # so many samples
    failed_checkpoints: int = 0
    stopped: bool = False  # it was asked to, before its last step
    error: Exception | None = None  # what ended it, where that would come again

    def summary(self) -> dict[str, object]:
        """All of it as JSON-able data."""
        return {
            "steps": self.step,
            "stopped": self.stopped,
            "error": None if self.error is None else str(self.error),
            "last": None if self.last is None else asdict(self.last),
            "best": None if self.best is None else asdict(self.best),
            "skipped_steps": self.skipped,
            "bad_shards": len(self.bad),
            "bad_samples": self.bad_samples,
            "bad": self.bad,
            "failed_checkpoints": self.failed_checkpoints,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What one rank's training talks to."""

    folder: CheckpointFolder
    n_shards: int  # that hold samples of the training split
    n_samples: int  # of that split
    on_metrics: OnMetrics = lambda _: None
    on_note: OnNote = logger.warning  # what a person should know
    look: Callable[[], None] = lambda: None
    """Before the first step and after each, on every rank: what is seen is told elsewhere."""
    validate: Callable[[Trainer], float | None] = lambda _: None
    """Before each checkpoint on a schedule, on every rank: the validation loss, None: none."""


def run_training(
    trainer: Trainer, batches: Iterator[tuple[Batch, LoaderState]], around: Surroundings
) -> RunEnd:
    """Train to the last step, or until somebody asks to stop; checkpoints as the settings say.

    What would come again after a restart (too many unreadable samples, too many steps in a row
    that are not finite, no last checkpoint) is not raised, but in the result.
    """
    error: Exception | None = None
    try:
        _steps(trainer, batches, around)
    except HcpError as caught:
        error = caught
    agreement, finished = trainer.agreement, around.folder.finished()
    return RunEnd(
        step=trainer.step_done,
        last=finished[-1] if finished else None,
        best=best_of(finished),
        skipped=agreement.skipped,
        bad=agreement.bad,
        bad_samples=agreement.bad_samples,
        failed_checkpoints=around.folder.failed,
        stopped=agreement.stop and trainer.step_done < trainer.config.steps,
        error=error,
    )


def _steps(
    trainer: Trainer, batches: Iterator[tuple[Batch, LoaderState]], around: Surroundings
) -> None:
    agreement, config = trainer.agreement, trainer.config
    skipped, bad = agreement.skipped, agreement.bad_samples
    if trainer.step_done == 0:
        around.look()
    for metrics in train_steps(trainer, batches, until=config.steps):
        around.on_metrics(metrics)
        if trainer.rank == 0 and metrics.skipped > skipped:
            around.on_note(f"step {metrics.step} skipped: its loss or gradient is not finite")
        if trainer.rank == 0 and metrics.bad_samples > bad:
            around.on_note(f"others stand in for what is broken: {_bad(agreement)}")
        skipped, bad = metrics.skipped, metrics.bad_samples
        _check(trainer, metrics, around)
        last = metrics.step == config.steps
        if agreement.stop and not last:  # there is a grace time: nothing is looked at
            _checkpoint(trainer, around, loss=None, must=True)
            return
        if hurry := agreement.save and not last:
            _save_in_a_hurry(trainer, around)
        around.look()
        if last or (metrics.step % config.checkpoint_every == 0 and not hurry):
            _checkpoint(trainer, around, loss=around.validate(trainer), must=last)


def _save_in_a_hurry(trainer: Trainer, around: Surroundings) -> None:
    _checkpoint(trainer, around, loss=None, must=False)  # seconds are left: nothing is validated
    if trainer.rank == 0:
        around.on_note(
            f"a node of this training is being taken back: checkpoint at step {trainer.step_done}, "
            "from which it goes on, on other nodes, once that one is gone"
        )


def _checkpoint(trainer: Trainer, around: Surroundings, *, loss: float | None, must: bool) -> None:
    if trainer.rank != 0:
        return
    problem = around.folder.save(trainer, validation_loss=loss)
    if problem is None:
        return
    finished = around.folder.finished()
    kept = f"the last good one is {finished[-1].uri}" if finished else "there is none before it"
    if must:
        raise CheckpointError(f"{problem}; {kept}. Make room and go on with --resume.")
    around.on_note(f"{problem}; {kept}; the next one is due in {trainer.config.checkpoint_every}")


def _check(trainer: Trainer, metrics: StepMetrics, around: Surroundings) -> None:
    agreement, config = trainer.agreement, trainer.config
    if agreement.skipped_in_row >= config.max_skipped_in_row:
        raise DivergedError(
            f"loss or gradient was not finite in {agreement.skipped_in_row} steps in a row, up to "
            f"step {metrics.step} at learning rate {metrics.learning_rate:.3g}. A lower "
            "training.learning_rate, more training.warmup_steps or training.precision=float32 may "
            "help; the weights are those before these steps"
        )
    # One broken shard of a hundred is one in a hundred, also where it is one of the larger ones.
    share = min(agreement.bad_samples / around.n_samples, len(agreement.bad) / around.n_shards)
    if share > config.max_bad_fraction:
        raise ShardError(
            f"{share:.2%} of the training split cannot be read, more than "
            f"training.max_bad_fraction={config.max_bad_fraction:g}: {_bad(agreement)}. "
            "'hcp verify' checks the dataset; rebuild what it names, or allow a larger fraction"
        )


def _bad(agreement: Agreement) -> str:
    """All of it in numbers, the first few by name."""
    names = [
        f"{shard} {key}".strip() + f" ({reason})"
        for shard, keys in agreement.bad.items()
        for key, reason in keys.items()
    ]
    listed = "; ".join(names[-_NAMED:])
    return (
        f"{agreement.bad_samples} samples of {len(agreement.bad)} shards cannot be read: {listed}"
    )
