"""How long a run may wait and work before it gives up, so that no night hangs for ever."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from storage.errors import HcpError


class RunTimeoutError(HcpError):
    """A run has not ended within its limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLimits:
    """Hours; what was committed until then is kept, and the next run goes on from it."""

    wait_h: float = 24.0  # for another run that writes to the same data; 0: not at all
    timeout_h: float | None = None  # of the work itself, without that wait; None: no limit

    def __post_init__(self) -> None:
        if self.wait_h < 0:
            raise ValueError(f"RunLimits.wait_h must be >= 0, got {self.wait_h}")
        if self.timeout_h is not None and self.timeout_h <= 0:
            raise ValueError(f"RunLimits.timeout_h must be > 0 or none, got {self.timeout_h}")


@contextmanager
def time_limit(limits: RunLimits) -> Generator[None]:
    """End what runs in the block when its time is over; Ray's work ends with it.

    Raises:
        RunTimeoutError: it has not ended within ``limits.timeout_h``.
    """
    from prefect.utilities.timeout import timeout

    hours = limits.timeout_h
    try:
        with timeout(None if hours is None else hours * 3600, _TimeIsOverError):
            yield
    except _TimeIsOverError:
        raise RunTimeoutError(
            f"the run has not ended within {hours:g} h (limits.timeout_h); what was committed is "
            "kept, and the next run goes on from it. Raise it where so much work is expected"
        ) from None


class _TimeIsOverError(TimeoutError):
    """Prefect's scope has ended: no other TimeoutError is taken for it."""
