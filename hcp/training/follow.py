"""What the driver does while the workers train: metrics into the log, a wish to stop to them.

Nothing that fails here, the log's disk or the Prefect API or the way to the workers, ends a
training: it is said once, and tried again.
"""

import contextvars
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from hcp.training.guarded import Guarded
from hcp.training.metrics import StepMetrics
from hcp.training.run_folder import MetricsLog
from hcp.training.stopping import StopRequest
from hcp.training.watching import OnEvent

logger = logging.getLogger(__name__)

_POLL_S, _WRITE_EVERY = 0.25, 20


@dataclass(slots=True, kw_only=True)
class Follower:
    """Follows a training in a thread of its own, while its block runs."""

    take: Callable[[], list[tuple[str, Any]]]  # from the workers: hcp.training.stopping.Mailbox
    stop: Callable[[], None]  # ask the workers to stop
    log: MetricsLog
    request: StopRequest
    on_note: Callable[[str], None] = logger.warning
    on_event: OnEvent = lambda _: None
    _ended: threading.Event = field(default_factory=threading.Event)
    _told: bool = False
    _guarded: Guarded = field(default_factory=Guarded)
    _thread: threading.Thread | None = None

    def __enter__(self) -> "Follower":
        # The flow's context goes along, so that its loggers work in the callbacks.
        run = contextvars.copy_context().run
        self._thread = threading.Thread(target=run, args=(self._poll,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        self._guarded("the last metrics", self._drain)
        self._guarded(f"writing {self.log.uri}", self.log.write)

    def _poll(self) -> None:
        while not self._ended.wait(_POLL_S):
            self._guarded("the workers' metrics", self._drain)
            self._guarded(f"writing {self.log.uri}", self._write)
            if self.request.asked and not self._told:
                self._guarded("asking the workers to stop", self._ask)
            self.request.end_after_grace()

    def _drain(self) -> None:
        for kind, value in self.take():
            if kind == "note":
                self.on_note(value)
            elif kind == "seen":
                self._guarded("showing what was seen", lambda value=value: self.on_event(value))
            elif kind == "step" or value["step"] > self.log.last_step:  # "past": if it was lost
                self._guarded("showing a step", lambda value=value: self._add(value))

    def _add(self, value: dict[str, Any]) -> None:
        self.log.add(StepMetrics(**value))

    def _write(self) -> None:
        self.log.write(at_least=_WRITE_EVERY)

    def _ask(self) -> None:
        self.stop()
        self._told = True
        self.on_note("asked to stop: the step is finished and a checkpoint written")
