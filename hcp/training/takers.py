"""Who takes a training's events in the driver: the run's files, TensorBoard's, the caller."""

from collections.abc import Callable
from types import TracebackType

from hcp.training.config import TrainConfig
from hcp.training.guarded import Guarded
from hcp.training.look_files import LookFiles
from hcp.training.watching import Event, OnEvent


class EventTakers:
    """Hands each event to all of them; one that fails is said once and stops no other."""

    def __init__(self, folder: str, config: TrainConfig, on_event: OnEvent | None) -> None:
        """Open a run's folder.

        Raises:
            MissingExtraError: TensorBoard's files are wanted and tensorboardX is not installed.
        """
        self._takers: dict[str, OnEvent] = {"validation and sample pictures": LookFiles(folder)}
        self._closers: dict[str, Callable[[], None]] = {}
        if config.tensorboard:
            from hcp.training.tensorboard import EventFiles

            files = EventFiles(folder)
            self._takers["TensorBoard's files"] = files
            self._closers["TensorBoard's files"] = files.close
        if on_event is not None:
            self._takers["showing a training"] = on_event
        self._guarded = Guarded()

    def __call__(self, event: Event) -> None:
        """Hand on one event."""
        for name, take in self._takers.items():
            self._guarded(name, lambda take=take: take(event))

    def __enter__(self) -> "EventTakers":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for name, close in self._closers.items():
            self._guarded(name, close)
