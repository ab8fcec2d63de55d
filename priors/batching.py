"""Batches of one fixed shape, so that results do not depend on what else is in the queue.

B batch, the other axes belong to the model.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch
from torch import Tensor

logger = logging.getLogger(__name__)

T = TypeVar("T")


class FixedBatches:
    """Runs a model over tensors of one shape, the last batch padded with zeros.

    When the device runs out of memory the batch is halved, down to 1, and stays so; the results
    then may differ from those of the full batch in the last bits.
    """

    def __init__(self, batch_size: int) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be >= 1, got {batch_size}")
        self.batch_size = batch_size

    def run(
        self, items: Sequence[Tensor], forward: Callable[[Tensor], T]
    ) -> Iterator[tuple[T, int]]:
        """Yield what ``forward`` made of each batch [B, ...] and how many of its rows are real.

        Raises:
            torch.OutOfMemoryError: a batch of one does not fit either.
        """
        start = 0
        while start < len(items):
            chunk = items[start : start + self.batch_size]
            try:
                result = forward(self._padded(chunk))
            except torch.OutOfMemoryError:
                if self.batch_size == 1:
                    raise
                self.batch_size //= 2
                torch.cuda.empty_cache()
                logger.warning("out of device memory: batch size is now %d", self.batch_size)
                continue
            yield result, len(chunk)
            start += len(chunk)

    def _padded(self, chunk: Sequence[Tensor]) -> Tensor:
        batch = torch.stack(list(chunk))
        missing = self.batch_size - len(chunk)
        if not missing:
            return batch
        return torch.cat([batch, batch.new_zeros((missing, *batch.shape[1:]))])
