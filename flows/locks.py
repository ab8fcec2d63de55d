"""One lock per root: what writes into a data set waits for what already does, wherever it runs.

A lock is a global concurrency limit of one slot on the Prefect server, held by a lease that a
thread renews; a holder that dies gives it back to who waits on its machine at once, to others when
its lease runs out. Who holds it stands in a Prefect variable, so that those who wait can say so.
"""

import hashlib
import logging
import os
import re
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace

import httpx
from prefect import get_run_logger
from prefect.context import FlowRunContext
from prefect.exceptions import MissingContextError

from flows.artifacts import publish_markdown
from flows.limits import RunLimits
from flows.lock_server import Holder, LeakFinder, LockServer
from flows.retries import will_pass
from flows.suspension import pausable_sleep
from storage.errors import HcpError
from storage.layout import Root
from storage.locations import is_local

LOCK_PREFIX = "hcp-root"
_SAY_EVERY_S = 600.0
_ASK_EVERY_S = 5.0
_HELD: set[str] = set()  # by this process: a flow and its subflows share a lock


class LockedError(HcpError):
    """Another run has worked on the same data for longer than was to be waited."""


def lock_name(place: str, prefix: str = LOCK_PREFIX) -> str:
    """The global concurrency limit of a root: readable, and the same for every spelling of it."""
    uri = Root.of(place).uri
    there = os.path.realpath(uri) if is_local(uri) else uri
    digest = hashlib.sha256(there.encode()).hexdigest()[:8]
    readable = re.sub(r"[^A-Za-z0-9._-]+", "-", there).strip("-")[-40:].lstrip("-")
    return f"{prefix}-{readable}-{digest}"  # Prefect allows no slash in a name


@contextmanager
def root_lock(place: str, limits: RunLimits | None = None, *, what: str = "") -> Generator[None]:
    """Hold the lock of a root; wait while another run does, and say for whom.

    Inside a block of the same process it is a no-op, so that a flow and its subflows share it.

    Args:
        place: the root, or another folder that only one may write to.
        limits: how long to wait.
        what: a part of the folder, where others may work on other parts.

    Raises:
        LockedError: the other run has not ended in time; the message names it.
    """
    name = lock_name(place) if not what else lock_name(f"{place}/{what}", "hcp-run")
    if name in _HELD:
        yield
        return
    server = LockServer(name)
    lease = _acquire(server, place, limits or RunLimits())
    _HELD.add(name)
    try:
        with server.renewed(lease, say=_log().warning):
            yield
    finally:
        _HELD.remove(name)


def _acquire(server: LockServer, place: str, limits: RunLimits) -> Holder:
    """Take the lock as soon as it is free."""
    mine, start, patience_s = Holder.this_run(), time.monotonic(), limits.wait_h * 3600
    said, leaks = -_SAY_EVERY_S, LeakFinder(server)
    while True:
        lease = _patiently(server.acquire, mine, place)
        waited = time.monotonic() - start
        if lease is not None:
            if said >= 0:
                _log().info("waited %.0f s for %s; it is free now", waited, place)
            return replace(mine, lease=lease)
        other = server.holder()
        if (other is not None and server.free_dead(other)) or leaks.freed(other):
            continue
        named = other.text() if other is not None else "another run, which has not said its name"
        if waited >= patience_s:
            raise LockedError(
                f"{place}: another run works on it, {named}; waited {waited:.0f} s (limits.wait_h "
                f"{limits.wait_h:g}). Wait for it or cancel it; where it is long dead, set the "
                f"active slots of the concurrency limit {server.name} to 0"
            )
        if waited - said >= _SAY_EVERY_S:
            said = waited
            _tell(f"{place}: waiting for {named} ({waited:.0f} s so far)")
        pausable_sleep(min(_ASK_EVERY_S, max(0.2, patience_s - waited)))


def _patiently(ask: Callable[[Holder], str | None], mine: Holder, place: str) -> str | None:
    """None too where the server does not answer: it is asked again, as one that is locked."""
    try:
        return ask(mine)
    except (httpx.TransportError, httpx.HTTPStatusError) as error:
        if not will_pass(error):
            raise
        _log().warning("%s: the Prefect server, which keeps the locks, is away: %s", place, error)
        return None


def _tell(text: str) -> None:
    """In the log, and on the run's page."""
    _log().warning("%s", text)
    if FlowRunContext.get() is not None:
        publish_markdown("waiting", text, description="another run works on the same data")


def _log() -> "logging.Logger | logging.LoggerAdapter[logging.Logger]":
    try:
        return get_run_logger()
    except MissingContextError:
        return logging.getLogger(__name__)
