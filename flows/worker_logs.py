"""Warnings and errors of Ray workers, on their way to the driver: the workers' side.

Each worker of a session sends them to one small actor, which the driver empties
(``flows.run_log``): workers need no route to Prefect's server, nor Prefect, and nobody waits.
"""

import logging
import os
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

logger = logging.getLogger(__name__)

OURS = ("flows", "priors", "hcp", "storage")
OTHERS = ("diffusers", "transformers", "accelerate", "torch", "ultralytics", "ray.train")
"""Libraries whose loggers tell the root nothing, or lose its handlers to Ray Train."""
SINK = "HCP_LOG_SINK"  # environment variable: the actor's name
NAMESPACE = "hcp"
TOLD = "told"  # attribute of a record that reaches the run's log on another way
EACH = 20  # messages of one kind that a worker sends; further ones are counted
MAX_WAITING = 2000
HARMLESS = {
    "ray.train.v2._internal.execution.controller.placement_group_cleaner": "Failed to query Ray"
}
"""Each second of a training, where Ray has no dashboard, as a run's own: its watchman asks that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One message of a worker."""

    level: int
    text: str


class Box:
    """The actor: what workers have said since it was last emptied."""

    def __init__(self) -> None:
        self._lines = deque[Line](maxlen=MAX_WAITING)
        self._lost = 0

    def put(self, line: Line) -> None:
        """Keep one message; of too many the oldest go."""
        self._lost += len(self._lines) == MAX_WAITING
        self._lines.append(line)

    def take(self) -> list[Line]:
        """All of them, and how many were lost."""
        found, lost = list(self._lines), self._lost
        self._lines.clear()
        self._lost = 0
        if lost:
            said = f"{lost} earlier warnings of Ray workers were too many to be kept"
            found.insert(0, Line(level=logging.WARNING, text=said))
        return found


class Sender(logging.Handler):
    """In a worker: hands warnings and errors on; no failure of it reaches who logged."""

    def __init__(self, send: Callable[[Line], object], where: str) -> None:
        super().__init__(logging.WARNING)
        self._send, self._where = send, where
        self._seen = Counter[tuple[str, str]]()
        self._inside = threading.local()

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record that was not sent yet, by this handler or otherwise."""
        if getattr(record, TOLD, False) or getattr(self._inside, "busy", False):
            return
        if record.name in HARMLESS and str(record.msg).startswith(HARMLESS[record.name]):
            return
        setattr(record, TOLD, True)
        self._inside.busy = True
        try:
            kind = (record.name, str(record.msg))
            self._seen[kind] += 1
            count = self._seen[kind]
            if count <= EACH or _is_round(count):
                self._send(Line(level=record.levelno, text=self._text(record, count)))
        except Exception:  # a driver that is gone, a message that is no text
            logger.debug("not handed on", exc_info=True)
        finally:
            self._inside.busy = False

    def _text(self, record: logging.LogRecord, count: int) -> str:
        text = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            text = f"{text}: {type(error).__name__}: {error}"
        many = f" (message {count} of this kind; further ones are counted)" if count >= EACH else ""
        return f"{record.name} [{self._where}]: {text}{many}"


def _is_round(count: int) -> bool:
    return count % 10 ** (len(str(count)) - 1) == 0  # 20, 100, 200 ... 1000, 2000


def install() -> None:
    """In each worker, before anything else: Ray calls it (``worker_process_setup_hook``)."""
    name = os.environ.get(SINK)
    if name:
        import ray

        context: Any = ray.get_runtime_context()
        where = f"node {context.get_node_id()[:8]}, pid {os.getpid()}"
        attach(Sender(_to_actor(name), where), (*OURS, *OTHERS, ""))


def _to_actor(name: str) -> Callable[[Line], object]:
    sinks: list[Any] = []

    def send(line: Line) -> None:
        import ray

        if not sinks:
            sinks.append(ray.get_actor(name, namespace=NAMESPACE))
        sinks[0].put.remote(line)

    return send


def attach(handler: logging.Handler, names: Sequence[str]) -> None:
    """Let a handler see what these loggers say, beside what saw it before."""
    root = logging.getLogger()
    if "" in names and not root.handlers and logging.lastResort is not None:
        root.addHandler(logging.lastResort)  # Python uses it only where there is no other
    for name in names:
        logging.getLogger(name).addHandler(handler)


def runtime_env(sink: str) -> Mapping[str, Any]:
    """What ``ray.init`` needs for the workers of a session to send what they warn of."""
    return {"env_vars": {SINK: sink}, "worker_process_setup_hook": f"{__name__}.install"}
