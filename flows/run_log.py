"""Warnings and errors of Ray workers, and of our own modules here, in the log of the flow run.

Where several runs share a session (subflows, variants of an ablation), the innermost one that is
alone takes what workers say.
"""

import contextvars
import logging
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from prefect import get_run_logger
from prefect.exceptions import MissingContextError
from prefect.logging.handlers import APILogHandler

from flows.told import emptied
from flows.worker_logs import NAMESPACE, OURS, Box, Line, attach

logger = logging.getLogger(__name__)

POLL_S = 1.0


@dataclass(eq=False, slots=True)
class _Run:
    """A flow or task run inside a session, and those that are inside it."""

    log: Any
    inside: "list[_Run]" = field(default_factory=list["_Run"])

    def innermost(self) -> "_Run":
        run = self
        while len(run.inside) == 1:
            run = run.inside[0]
        return run


_CURRENT: contextvars.ContextVar[_Run | None] = contextvars.ContextVar("run", default=None)


class Here(logging.Handler):
    """In the driver: what our own modules warn of goes to the run in which they do.

    Prefect's console shows it already, as anybody's.
    """

    def __init__(self, run: _Run) -> None:
        super().__init__(logging.WARNING)
        self._run, self._api = run, APILogHandler()

    def emit(self, record: logging.LogRecord) -> None:
        """Send it to the server as the run's, where there is one."""
        with suppress(Exception):
            log = _run_logger() or self._run.innermost().log
            if log is not None:
                said = f"{record.name}: {record.getMessage()}"
                own = {"msg": said, "args": (), **log.extra}
                self._api.emit(logging.makeLogRecord(record.__dict__ | own))


@contextmanager
def inside_session() -> Generator[None]:
    """What this run's Ray work warns of, while the block runs, goes into this run's log."""
    outer = _CURRENT.get()
    if outer is None:  # a session of somebody else's
        yield
        return
    run = _Run(log=_run_logger() or outer.log)
    outer.inside.append(run)
    token = _CURRENT.set(run)
    try:
        yield
    finally:
        _CURRENT.reset(token)
        outer.inside.remove(run)


def sink_name() -> str:
    """A name for a session's actor."""
    return f"hcp-log-{uuid4().hex[:12]}"


@contextmanager
def collected(ray: Any, sink: str) -> Generator[None]:
    """Empty a session's actor into the log while the block runs, and once more at its end."""
    options: dict[str, Any] = {"num_cpus": 0, "name": sink, "namespace": NAMESPACE}
    box: Any = ray.remote(Box).options(**options).remote()
    run = _Run(log=_run_logger())
    token, here = _CURRENT.set(run), Here(run)
    attach(here, OURS)

    def take(line: Line) -> None:
        (run.innermost().log or logger).log(line.level, "%s", line.text)

    try:
        with emptied(box, take, every_s=POLL_S):
            yield
    finally:
        for name in OURS:
            logging.getLogger(name).removeHandler(here)
        _CURRENT.reset(token)


def _run_logger() -> Any:
    try:
        return get_run_logger()
    except MissingContextError:
        return None
