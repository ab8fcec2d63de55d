"""A lock's side of the Prefect server: its slot, its lease, and the variable that names its holder.

Prefect's own ``concurrency()`` gives up a lease for good after three failed renewals, so that a
server that is away for some minutes lets a second run in; and its API does not say who holds one.
"""

import contextvars
import hashlib
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psutil

LEASE_S = 120.0  # a lost machine's lock is free after it, and after the server's next look (15 s)
RENEW_S = 20.0
_LOCKED, _GONE = 423, (404, 410)
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who holds a lock."""

    run: str | None  # id of the flow run
    name: str  # of the run, or the command
    where: str  # host and process
    since: str  # ISO 8601, UTC
    lease: str = ""
    process: str = ""  # which one of which machine; empty where it cannot be told

    @classmethod
    def this_run(cls) -> "Holder":
        """The flow run of this process, or the process itself."""
        from prefect.context import FlowRunContext

        context = FlowRunContext.get()
        run = context.flow_run if context is not None else None
        flow = context.flow.name if context is not None and context.flow is not None else "hcp"
        return cls(
            run=str(run.id) if run is not None else None,
            name=f"{flow}/{run.name}" if run is not None else flow,
            where=f"{socket.gethostname()}, process {os.getpid()}",
            since=datetime.now(UTC).isoformat(timespec="seconds"),
            process=_process(os.getpid()),
        )

    def is_dead(self) -> bool:
        """Whether it was a process of this machine that is there no more; False where unknown."""
        machine, _, number = self.process.rpartition("#")
        if not machine or machine != _machine():
            return False
        return _process(int(number.partition("@")[0])) != self.process

    def text(self) -> str:
        """For those who wait, with a link where it is a run."""
        from prefect.utilities.urls import url_for

        link = url_for("flow-run", obj_id=self.run) if self.run else None
        return f"{self.name} on {self.where}, since {self.since}{f', {link}' if link else ''}"


class LockServer:
    """One lock on the server of the current settings."""

    def __init__(self, name: str) -> None:
        make_lock(name)
        self.name = name
        self._variable = f"hcp_lock_{hashlib.sha256(name.encode()).hexdigest()[:12]}"

    def acquire(self, mine: Holder) -> str | None:
        """Take the slot: the lease's id, or None while another holds it."""
        from prefect.types._concurrency import ConcurrencyLeaseHolder

        holder = ConcurrencyLeaseHolder(type="flow_run", id=UUID(mine.run)) if mine.run else None
        with _client() as client:
            try:
                answer = client.increment_concurrency_slots_with_lease(
                    names=[self.name], slots=1, mode="concurrency", lease_duration=LEASE_S,
                    holder=holder,
                )  # fmt: skip
            except httpx.HTTPStatusError as error:
                if error.response.status_code == _LOCKED:
                    return None
                raise
        lease = str(answer.json()["lease_id"])
        self._note(replace(mine, lease=lease))
        return lease

    def holder(self) -> Holder | None:
        """Who holds the lock, as far as it has said so."""
        from prefect.variables import Variable

        with suppress(httpx.HTTPError, TypeError):
            found: Any = Variable.get(self._variable)
            return Holder(**found) if isinstance(found, dict) else None
        return None

    def free_dead(self, other: Holder) -> bool:
        """Give back what a process of this machine held when it was killed; whether it was."""
        if not other.is_dead():
            return False
        with suppress(httpx.HTTPError, ValueError), _client() as client:
            client.release_concurrency_slots_with_lease(UUID(other.lease))
            return True
        return False

    def free_leaked(self, other: Holder) -> bool:
        """Free a slot whose lease the server has lost, as with leases in memory; whether it was."""
        with suppress(httpx.HTTPError):
            if not self._is_leased(other.lease) and self.holder() == other and self._is_occupied():
                with _client() as client:
                    client.release_concurrency_slots([self.name], 1, 1.0)
                return True
        return False

    @contextmanager
    def renewed(self, mine: Holder, *, say: Callable[..., None]) -> Generator[None]:
        """Renew the lease until the block ends; then give it back, whatever happens."""
        stop, lease = threading.Event(), [mine]

        def renew() -> None:
            while not stop.wait(RENEW_S):
                lease[0] = self._renew(lease[0], say)

        thread = threading.Thread(
            target=contextvars.copy_context().run, args=(renew,), daemon=True, name=self.name
        )
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(timeout=5)
            self._release(lease[0])

    def _renew(self, mine: Holder, say: Callable[..., None]) -> Holder:
        """The holder with its lease, a new one where the server has lost the old one."""
        if not mine.lease:  # lost to another run: taken again when that has ended
            return self._taken_again(mine, logger.debug)
        try:
            with _client() as client:
                client.renew_concurrency_lease(lease_id=UUID(mine.lease), lease_duration=LEASE_S)
            return mine
        except httpx.HTTPStatusError as error:
            if error.response.status_code not in _GONE:
                return mine
        except Exception as error:  # away, for longer than the client tries: again, next time
            logger.debug("the lock %s is not renewed: %r", self.name, error)
            return mine
        return self._taken_again(mine, say)

    def _taken_again(self, mine: Holder, say: Callable[..., None]) -> Holder:
        """After a server that was away for long, or that keeps its leases in memory only."""
        with suppress(httpx.HTTPError):
            other = self.holder()
            held = other is not None and mine.lease and other.lease == mine.lease
            if held and self._is_occupied():
                with _client() as client:  # our own slot, which no lease frees any more
                    client.release_concurrency_slots([self.name], 1, 1.0)
            lease = self.acquire(mine)
            if lease is not None:
                return replace(mine, lease=lease)
            say("the lock %s went to another run while the server was away", self.name)
            return replace(mine, lease="")
        return mine

    def _release(self, mine: Holder) -> None:
        with suppress(Exception), _client() as client:  # else the lease runs out
            client.release_concurrency_slots_with_lease(UUID(mine.lease))
            if self.holder() == mine:
                client.delete_variable_by_name(self._variable)

    def _note(self, mine: Holder) -> None:
        from prefect.variables import Variable

        with suppress(httpx.HTTPError):
            Variable.set(self._variable, asdict(mine), tags=["hcp-lock"], overwrite=True)

    def _is_occupied(self) -> bool:
        with _client() as client:
            found = client.read_global_concurrency_limit_by_name(self.name)
            return bool(found.active_slots)

    def _is_leased(self, lease: str) -> bool:
        """Whether the server knows a lease; asking renews it, for the shortest time."""
        with _client() as client:
            try:
                client.renew_concurrency_lease(lease_id=UUID(lease), lease_duration=60)
            except httpx.HTTPStatusError as error:
                if error.response.status_code not in _GONE:
                    raise
                return False
        return True


class LeakFinder:
    """Notices a holder that is there for longer than a lease, and asks whether it has one.

    Asking renews the lease, so it is done seldom.
    """

    def __init__(self, server: LockServer) -> None:
        self._server = server
        self._other: Holder | None = None
        self._since = 0.0

    def freed(self, other: Holder | None) -> bool:
        """Whether the slot was free in truth, and is now."""
        now = time.monotonic()
        if other is None or other != self._other:
            self._other, self._since = other, now
            return False
        if now - self._since < LEASE_S + 2 * RENEW_S:
            return False
        self._since = now
        return self._server.free_leaked(other)


def _machine() -> str:
    """This machine since it was started, and the part of it whose processes are seen here."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:  # not Linux
        return ""


def _process(pid: int) -> str:
    """A process of this machine, told apart from a later one of its number; empty: not there."""
    machine = _machine()
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        if machine and process.status() != psutil.STATUS_ZOMBIE:
            return f"{machine}#{pid}@{process.create_time()}"
    return ""


def make_lock(name: str) -> bool:
    """Make a lock on the Prefect server; whether it was not there before."""
    from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
    from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound

    with _client() as client:
        try:
            client.read_global_concurrency_limit_by_name(name)
            return False
        except ObjectNotFound:
            pass
        try:
            client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=name, limit=1))
        except ObjectAlreadyExists:
            return False
    return True


def _client() -> Any:
    from prefect.client.orchestration import get_client

    return get_client(sync_client=True)
