"""What one rank finds, all ranks know at the same step."""

import math
from pathlib import Path

import pytest
import torch

from hcp.training.agreement import Agreement, all_finite
from hcp.training.batches import BadSample
from storage.errors import HcpError

BROKEN = BadSample("a.tar", "k1", "no JPEG")


def test_alone_the_losses_are_its_own_and_failing_raises() -> None:
    agreement = Agreement()
    assert agreement.settle([1.0, 2.0]) == [1.0, 2.0]
    with pytest.raises(HcpError, match="no data"):
        agreement.fail("no data", n_losses=2)


def test_a_bad_sample_counts_once_over_all_epochs() -> None:
    agreement = Agreement(shard_size={"b.tar": 7}.__getitem__)
    for _ in range(3):
        agreement.settle([1.0], bad=[BROKEN])
    assert agreement.bad_samples == 1
    agreement.settle([1.0], bad=[BROKEN, BadSample("a.tar", "k2", "no JPEG")])
    assert agreement.bad_samples == 2
    agreement.settle([1.0], bad=[BadSample("b.tar", "", "no such file")])  # hides its keys
    assert agreement.bad_samples == 9
    assert list(agreement.bad) == ["a.tar", "b.tar"]


def test_steps_in_a_row_are_counted_anew_after_a_good_one() -> None:
    agreement = Agreement()
    for finite in (False, False, True, False):
        agreement.count(finite=finite)
    assert (agreement.skipped, agreement.skipped_in_row) == (3, 1)


def test_it_comes_back_from_a_checkpoint() -> None:
    first = Agreement()
    first.settle([1.0], bad=[BROKEN])
    first.count(finite=False)
    second = Agreement()
    second.restore(first.state())
    assert second.state() == first.state()
    second.restore({})  # of a version that had none
    assert (second.skipped, second.bad_samples) == (0, 0)


def test_a_wish_to_stop_stays() -> None:
    wishes = iter([False, True, False])
    agreement = Agreement(stop_asked=lambda: next(wishes))
    seen: list[bool] = []
    for _ in range(3):
        agreement.settle([0.0])
        seen.append(agreement.stop)
    assert seen == [False, True, True]


def test_a_wish_for_a_checkpoint_is_for_one_step() -> None:
    wishes = iter([False, True, False])
    agreement = Agreement(save_asked=lambda: next(wishes))
    seen: list[bool] = []
    for _ in range(3):
        agreement.settle([0.0])
        seen.append(agreement.save)
    assert seen == [False, True, False]


def test_finite() -> None:
    assert all_finite([0.0, -1e30])
    assert not all_finite([1.0, math.nan])
    assert not all_finite([-math.inf])


def rank(number: int, store: str, out: str) -> None:
    """One of two ranks: the second one finds a bad sample, is asked to stop, and fails."""
    torch.distributed.init_process_group("gloo", init_method=store, rank=number, world_size=2)
    agreement = Agreement(
        world_size=2, stop_asked=lambda: number == 1, save_asked=lambda: number == 0
    )
    means = agreement.settle([float(number), 4.0], bad=[BROKEN] if number else [])
    nan = agreement.settle([math.nan if number else 1.0])
    try:
        if number:
            agreement.fail("no more data", n_losses=1)
        agreement.settle([1.0])
    except HcpError as error:
        wishes = (agreement.stop, agreement.save)
        torch.save((means, nan, wishes, agreement.bad, str(error)), f"{out}/{number}")
    finally:
        torch.distributed.barrier()  # a rank whose peer has gone is aborted by gloo
        torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_ranks_know_the_same(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(rank, (f"file://{tmp_path}/store", str(tmp_path)), nprocs=2)
    for number in range(2):
        means, nan, wishes, bad, error = torch.load(tmp_path / str(number))
        assert means == [0.5, 4.0]
        assert not all_finite(nan)
        assert wishes == (True, True)
        assert bad == {"a.tar": {"k1": "no JPEG"}}
        assert error == "no more data"
