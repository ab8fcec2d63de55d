"""The lock of a root: its name, who waits for whom, and holders that are gone."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from flows.limits import RunLimits
from flows.lock_server import Holder, LeakFinder, LockServer
from flows.locks import LockedError, lock_name, root_lock


def test_a_name_is_readable_and_the_same_for_every_spelling(tmp_path: Path) -> None:
    root, link = tmp_path / "data sets" / "hcp", tmp_path / "link"
    root.mkdir(parents=True)
    link.symlink_to(root)
    name = lock_name(str(root))
    assert lock_name(f"{root}/") == lock_name(str(link)) == lock_name(f"file://{root}") == name
    assert "data-sets-hcp" in name
    assert not set(name) & set("/%&<>")
    assert lock_name(str(tmp_path / "other")) != name
    assert lock_name("s3://bucket/data/") == lock_name("s3://bucket/data")
    assert lock_name("s3://bucket/data") != lock_name("s3://bucket-data")


@pytest.mark.prefect
def test_one_waits_for_the_other_and_says_for_whom(prefect_api: str, tmp_path: Path) -> None:
    events: list[str] = []
    inside = threading.Event()

    def hold() -> None:
        server = LockServer(lock_name(str(tmp_path)))  # as another process, which shares nothing
        mine = Holder.this_run()
        lease = server.acquire(mine)
        assert lease is not None
        held = Holder(**{**_fields(mine), "lease": lease})
        with server.renewed(held, say=lambda *_: None):
            inside.set()
            time.sleep(2)
            events.append("first ends")

    from contextvars import copy_context

    thread = threading.Thread(target=copy_context().run, args=(hold,))
    thread.start()
    assert inside.wait(30)
    with (
        pytest.raises(LockedError, match=rf"process {os.getpid()}, since .*limits.wait_h 0\)"),
        root_lock(str(tmp_path), RunLimits(wait_h=0.0)),
    ):
        pytest.fail("two at a time")
    with root_lock(str(tmp_path)), root_lock(str(tmp_path)):  # a subflow's is its parent's
        events.append("second begins")
    thread.join()
    assert events == ["first ends", "second begins"]
    with root_lock(str(tmp_path), RunLimits(wait_h=0.0)):
        pass  # given back


@pytest.mark.prefect
def test_a_dead_holder_gives_it_back(
    server: Mapping[str, str], prefect_api: str, tmp_path: Path
) -> None:
    """Kill -9: its lease is not renewed; it is let run out here, rather than waited for."""
    lock = LockServer(lock_name(str(tmp_path)))
    reader, writer = multiprocessing.get_context("spawn").Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(
        target=_hold_for_ever, args=(server["PREFECT_API_URL"], str(tmp_path), writer)
    )
    process.start()
    assert reader.poll(60)
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join(30)
    other = lock.holder()
    assert other is not None
    assert other.is_dead()
    assert not Holder(**{**_fields(other), "process": ""}).is_dead()  # of another machine, say
    assert not Holder.this_run().is_dead()
    assert lock.acquire(Holder.this_run()) is None
    _let_run_out(server, other.lease)
    deadline = time.monotonic() + 60
    while (lease := lock.acquire(Holder.this_run())) is None:
        assert time.monotonic() < deadline
        time.sleep(1)
    lock._release(Holder(**{**_fields(Holder.this_run()), "lease": lease}))


@pytest.mark.prefect
def test_what_a_killed_process_of_this_machine_held_is_free_at_once(
    server: Mapping[str, str], prefect_api: str, tmp_path: Path
) -> None:
    reader, writer = multiprocessing.get_context("spawn").Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(
        target=_hold_for_ever, args=(server["PREFECT_API_URL"], str(tmp_path), writer)
    )
    process.start()
    assert reader.poll(60)
    with (
        pytest.raises(LockedError),
        root_lock(str(tmp_path), RunLimits(wait_h=0.0)),
    ):
        pytest.fail("it lives")
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join(30)
    with root_lock(str(tmp_path), RunLimits(wait_h=0.0)):
        pass


@pytest.mark.prefect
def test_a_slot_whose_lease_the_server_has_lost_is_found_and_freed(
    server: Mapping[str, str], prefect_api: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a restart of a server that keeps its leases in memory, Prefect's default."""
    lock = LockServer(lock_name(str(tmp_path)))
    lease = lock.acquire(Holder.this_run())
    assert lease is not None
    _lease_file(server, lease).unlink()
    other = lock.holder()
    assert other is not None
    finder = LeakFinder(lock)
    assert not finder.freed(other)  # it may only just have been taken
    start = time.monotonic()
    monkeypatch.setattr("flows.lock_server.time.monotonic", lambda: start + 3600)
    assert finder.freed(other)
    assert lock.acquire(Holder.this_run()) is not None


@pytest.mark.prefect
def test_a_holder_whose_lease_is_lost_takes_it_again(
    server: Mapping[str, str], prefect_api: str, tmp_path: Path
) -> None:
    lock = LockServer(lock_name(str(tmp_path)))
    mine = Holder.this_run()
    lease = lock.acquire(mine)
    assert lease is not None
    held = Holder(**{**_fields(mine), "lease": lease})
    _lease_file(server, lease).unlink()
    again = lock._renew(held, lambda *_: None)
    assert again.lease != lease
    assert lock.holder() == again
    assert lock.acquire(mine) is None  # held, not leaked
    lock._release(again)


@pytest.mark.prefect
def test_a_holder_that_lost_its_lock_says_so_once_and_takes_it_again_when_it_is_free(
    server: Mapping[str, str], prefect_api: str, tmp_path: Path
) -> None:
    lock, said = LockServer(lock_name(str(tmp_path))), []
    mine = Holder.this_run()
    lease = lock.acquire(mine)
    assert lease is not None
    held = Holder(**{**_fields(mine), "lease": lease})
    lock._release(held)  # as when the lease has run out
    other = lock.acquire(mine)
    assert other is not None
    lost = lock._renew(lock._renew(held, lambda *words: said.append(words)), said.append)
    assert lost.lease == ""
    assert len(said) == 1
    lock._release(Holder(**{**_fields(mine), "lease": other}))
    again = lock._renew(lost, said.append)
    assert lock.acquire(mine) is None
    lock._release(again)


def _fields(holder: Holder) -> dict[str, str | None]:
    from dataclasses import asdict

    return asdict(holder)


def _hold_for_ever(api_url: str, root: str, writer) -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: api_url}), root_lock(root):
        writer.send("held")
        time.sleep(600)


def _lease_file(server: Mapping[str, str], lease: str) -> Path:
    return Path(server["PREFECT_HOME"]) / "concurrency_leases" / f"{lease}.json"


def _let_run_out(server: Mapping[str, str], lease: str) -> None:
    import json

    file, index = _lease_file(server, lease), _lease_file(server, "expirations")
    for path, key in ((file, "expiration"), (index, lease)):
        content = json.loads(path.read_text())
        path.write_text(json.dumps(content | {key: "2026-01-01T00:00:00+00:00"}))
