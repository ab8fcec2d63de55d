"""What a Ray task tells its run arrives in order, and ends nothing where it cannot."""

import time
from typing import Any

import pytest

from flows.ray_session import run_remote
from flows.told import Drain, Teller, told

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("one_ray")]


def count(tell: Teller[int], n: int) -> str:
    for i in range(n):
        tell(i)
    return "done"


def test_items_come_in_order_and_all_of_them() -> None:
    found: list[int] = []
    with told(found.append) as tell:
        assert run_remote(count, tell, 50) == "done"
    assert found == list(range(50))


class Slow:
    """An actor that answers late."""

    def __init__(self) -> None:
        self.items = ["first", "second"]

    def take(self) -> list[str]:
        time.sleep(1.5)
        items, self.items = self.items, []
        return items


def test_an_answer_that_is_late_is_not_lost() -> None:
    import ray

    drain = Drain(ray.remote(Slow).options(num_cpus=0).remote())
    found: list[str] = []
    deadline = time.monotonic() + 200
    while not found and time.monotonic() < deadline:
        found += drain(0.05)
    assert found == ["first", "second"]


def test_a_lost_actor_or_a_taker_that_fails_ends_no_task() -> None:
    import ray

    def refuse(item: Any) -> None:
        raise RuntimeError(str(item))

    with told(refuse) as tell:
        assert run_remote(count, tell, 3) == "done"
        ray.kill(tell.box)
        assert run_remote(count, tell, 3) == "done"
