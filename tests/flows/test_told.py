"""What a Ray task tells its run arrives in order, and ends nothing where it cannot."""

from typing import Any

import pytest

from flows.ray_session import run_remote
from flows.told import Teller, told

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


def test_a_lost_actor_or_a_taker_that_fails_ends_no_task() -> None:
    import ray

    def refuse(item: Any) -> None:
        raise RuntimeError(str(item))

    with told(refuse) as tell:
        assert run_remote(count, tell, 3) == "done"
        ray.kill(tell.box)
        assert run_remote(count, tell, 3) == "done"
