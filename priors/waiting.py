"""Waiting for Ray so that a signal stays what it is."""

from collections.abc import Sequence
from typing import Any

import ray


def any_ready(references: Sequence[Any], *, timeout_s: float) -> list[Any]:
    """The first one whose result is there; none once the time is over.

    What a signal's handler raises meanwhile, as Prefect's for SIGTERM or Ctrl-C, is raised: Ray's
    compiled code makes a ``SystemError`` of it, which would be taken for a failure of the work.
    """
    try:
        return ray.wait(list(references), num_returns=1, timeout=timeout_s)[0]
    except SystemError as error:
        if error.__cause__ is None:
            raise
        raise error.__cause__ from None
