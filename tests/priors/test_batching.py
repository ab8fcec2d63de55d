"""Fixed batches: shapes, order, padding, and memory that runs out."""

import pytest
import torch
from torch import Tensor

from priors.batching import FixedBatches


def items(n: int) -> list[Tensor]:
    return [torch.full((2, 2), float(i + 1)) for i in range(n)]


def firsts(batches: FixedBatches, n: int, *, fits: int = 100) -> tuple[list[float], list[int]]:
    sizes: list[int] = []

    def forward(batch: Tensor) -> Tensor:
        if len(batch) > fits:
            raise torch.OutOfMemoryError("stub: too many")
        sizes.append(len(batch))
        return batch[:, 0, 0]

    values = [float(v) for rows, n_real in batches.run(items(n), forward) for v in rows[:n_real]]
    return values, sizes


@pytest.mark.parametrize("n", [0, 1, 4, 5, 9])
def test_every_batch_has_the_same_shape(n: int) -> None:
    values, sizes = firsts(FixedBatches(4), n)
    assert values == [float(i + 1) for i in range(n)]
    assert sizes == [4] * -(-n // 4)


def test_the_batch_is_halved_when_memory_runs_out_and_stays_so() -> None:
    batches = FixedBatches(8)
    values, sizes = firsts(batches, 11, fits=3)
    assert values == [float(i + 1) for i in range(11)]
    assert set(sizes) == {2}
    assert batches.batch_size == 2


def test_a_batch_of_one_that_does_not_fit_is_an_error() -> None:
    with pytest.raises(torch.OutOfMemoryError):
        firsts(FixedBatches(4), 3, fits=0)


def test_a_batch_has_a_size() -> None:
    with pytest.raises(ValueError, match="batch_size"):
        FixedBatches(0)
