"""When a training is looked at, on each rank: validation and sample pictures in their turn."""

import logging
from collections.abc import Callable, Iterable
from typing import Any

from hcp.training.batches import Batch
from hcp.training.samples import draw_samples
from hcp.training.trainer import Trainer
from hcp.training.validation import Validator
from hcp.training.watching import SampleGrid, Validation, due
from storage.errors import HcpError

logger = logging.getLogger(__name__)


class Watch:
    """Looks at one rank's training as its settings say; the training goes on as if it did not."""

    def __init__(
        self,
        trainer: Trainer,
        samples: Callable[[], Iterable[Any]],
        *,
        tell: Callable[[Validation | SampleGrid], None],
        to_batch: Callable[[Any], Batch],
    ) -> None:
        """Nothing is read or drawn yet.

        Args:
            trainer: this rank's.
            samples: gives the held-out photos, or their places, in the same order on every rank.
            tell: called on rank 0 with what was seen.
            to_batch: reads one of them as a batch.
        """
        self._trainer, self._samples, self._tell = trainer, samples, tell
        self._to_batch = to_batch
        self._validator: Validator | None = None
        self._newest: Validation | None = None
        self._measured_at = -1

    def look(self) -> None:
        """Before the first step and after each: what is due. All ranks must call it."""
        trainer, config = self._trainer, self._trainer.config
        step = trainer.step_done
        if due(config.validation.every, step, last=config.steps):
            self._validate()
        if trainer.rank == 0 and due(config.samples.every, step, last=config.steps):
            grid = draw_samples(trainer)
            if grid is not None:
                self._tell(grid)

    def validation_loss(self) -> float | None:
        """Of the weights as they are; None where nothing is validated. All ranks must call it."""
        if not self._trainer.config.validation.every:
            return None
        if self._measured_at != self._trainer.step_done:
            self._validate()
        return None if self._newest is None else self._newest.loss

    def _opened(self) -> Iterable[Any]:
        # The other ranks measure their share all the same, and wait for this one's.
        try:
            return self._samples()
        except (HcpError, OSError) as error:
            logger.warning("the held-out photos cannot be found: %s", error)
            return ()

    def _validate(self) -> None:
        trainer = self._trainer
        if self._validator is None:
            self._validator = Validator(trainer, self._opened(), to_batch=self._to_batch)
        first = self._measured_at < 0
        self._newest, self._measured_at = self._validator.measure(), trainer.step_done
        if trainer.rank != 0:
            return
        if self._newest is not None:
            self._tell(self._newest)
        elif first:
            logger.warning("nothing is validated: the dataset has no photo in its val split")
