"""One Ray connection per run, and what it leaves alone."""

import os
import signal
import threading
import time

import pytest

from flows.ray_session import Cluster, cancel_remote, ray_session, run_remote


@pytest.mark.parametrize(
    ("gpus", "asked", "expected"), [(0, None, 0), (4, None, 1), (4, 0.25, 0.25), (4, 0, 0)]
)
def test_a_worker_takes_a_whole_gpu_unless_told(
    gpus: float, asked: float | None, expected: float
) -> None:
    cluster = Cluster(address="", cpus=8, gpus=gpus, nodes=1)
    assert cluster.gpus_each(asked) == expected
    assert cluster.gpus_each(asked, device="cpu") == 0


def test_a_device_that_is_asked_for_is_asked_of_the_cluster() -> None:
    assert Cluster(address="", cpus=8, gpus=0, nodes=1).gpus_each(None, device="cuda") == 1


@pytest.mark.ray
def test_sessions_nest_and_leave_the_signal_handler() -> None:
    import ray

    def refuse(number: int) -> int:
        if number > 1:
            raise ValueError(f"too many: {number}")
        return os.getpid()

    def expect(errors: list[Exception]) -> None:
        try:
            run_remote(time.sleep, 600)
        except Exception as error:
            errors.append(error)

    handler = signal.getsignal(signal.SIGTERM)
    with ray_session("local") as outer:
        assert outer.cpus >= 1
        with ray_session("ray://nowhere:1") as inner:  # inside a session it connects to nothing
            assert inner.address == outer.address
        assert ray.is_initialized()
        assert run_remote(refuse, 1) != os.getpid()
        with pytest.raises(ValueError, match="too many: 2"):
            run_remote(refuse, 2)
        begun, errors = time.monotonic(), list[Exception]()
        thread = threading.Thread(target=expect, args=(errors,))
        thread.start()
        while thread.is_alive() and time.monotonic() - begun < 60:
            cancel_remote()
            thread.join(0.5)
        assert len(errors) == 1
    assert not ray.is_initialized()
    assert signal.getsignal(signal.SIGTERM) is handler
