"""A signal that comes while one waits for Ray."""

import os
import signal
import threading
import time

import pytest

from flows.ray_session import ray_session
from priors.waiting import any_ready


class Ended(BaseException):
    """What a handler raises, as Prefect's does."""


@pytest.mark.ray
def test_what_a_signals_handler_raises_is_raised() -> None:
    import ray

    def end(*_: object) -> None:
        raise Ended

    with ray_session("local"):
        reference = ray.remote(lambda: time.sleep(60)).remote()
        before = signal.signal(signal.SIGTERM, end)
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM)).start()
        try:
            with pytest.raises(Ended):
                any_ready([reference], timeout_s=2.0)
        finally:
            signal.signal(signal.SIGTERM, before)
        done = ray.put(1)
        assert any_ready([reference, done], timeout_s=30) == [done]
