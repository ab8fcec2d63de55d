"""What passes by itself and is tried again, and what does not.

A store that is away, a server that restarts, a worker that is lost pass; a wrong parameter, a
broken file or a checkpoint of another base do not, and are told at once. Errors are known by the
names of their types: so no library is loaded that did not raise one.
"""

import errno
import random
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from flows.suspension import pausable_sleep

T = TypeVar("T")

DELAYS_S = (5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0)
"""Before the second try and so on: a store may be away for more than an hour."""
_JITTER = 0.2
_PASSING: Mapping[str, frozenset[str]] = {
    "builtins": frozenset({"ConnectionError"}),
    "socket": frozenset({"gaierror", "timeout"}),
    "storage": frozenset({"StoreAwayError"}),
    "botocore": frozenset({
        "ConnectionError", "HTTPClientError", "ConnectionClosedError", "ConnectTimeoutError",
        "ReadTimeoutError", "IncompleteReadError", "ResponseStreamingError",
    }),
    "aiohttp": frozenset({"ClientConnectionError", "ClientPayloadError", "ServerTimeoutError"}),
    "google": frozenset({"ServerError", "TransportError", "RetryError", "TooManyRequests"}),
    "azure": frozenset({"ServiceRequestError", "ServiceResponseError"}),
    "httpx": frozenset({"TransportError"}),
    "requests": frozenset({"ConnectionError", "Timeout", "ChunkedEncodingError"}),
    "urllib3": frozenset({"MaxRetryError", "ProtocolError", "TimeoutError"}),
    "ray": frozenset({
        "RayActorError", "NodeDiedError", "WorkerCrashedError", "ObjectLostError",
        "OutOfMemoryError", "RaySystemError", "RpcError", "LocalRayletDiedError",
    }),
}  # fmt: skip
"""By the package that defines them; a type counts where one that it inherits from does."""
_ERRNOS = frozenset({
    errno.ENOTCONN, errno.ESTALE, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EHOSTUNREACH,
    errno.ENETUNREACH, errno.ENETDOWN, errno.ENETRESET, errno.EBUSY, errno.EAGAIN,
})  # fmt: skip
_BUSY = re.compile(
    "database is (locked|busy)|connect|closed the connection|server closed|terminating|starting up|"
    "shutting down|in recovery|time[d ]?out",
    re.IGNORECASE,
)
_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
_TRIED = "hcp_tried"


def will_pass(error: BaseException) -> bool:
    """Whether an error, or what caused it, goes away by itself."""
    chain = list(_chain(error))
    if any(getattr(each, _TRIED, False) for each in chain):
        return False  # a subflow has tried for as long as is reasonable
    return any(_passes(each) for each in chain)


def retried(
    call: Callable[[int], T],
    *,
    say: Callable[[int, Exception, float], None],
    delays_s: tuple[float, ...] = DELAYS_S,
) -> T:
    """Call until nothing goes wrong that passes, with longer and longer pauses.

    Args:
        call: takes the number of the try, from 0.
        say: takes the number of the try that failed, its error and the pause to come, s.
        delays_s: the pauses.

    Raises:
        Exception: what does not pass, or has not passed after the last pause.
    """
    for number, delay_s in enumerate(delays_s):
        try:
            return call(number)
        except Exception as error:
            if not will_pass(error):
                raise
            pause_s = delay_s * random.uniform(1.0, 1.0 + _JITTER)
            say(number, error, pause_s)
        pausable_sleep(pause_s)
    try:
        return call(len(delays_s))
    except Exception as error:
        if delays_s:
            setattr(error, _TRIED, True)
        raise


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    waiting: list[Any] = [error]
    while waiting:
        each = waiting.pop()
        if isinstance(each, BaseException) and id(each) not in seen:
            seen.add(id(each))
            yield each
            waiting += [each.__cause__, getattr(each, "cause", None)]  # Ray's has the latter


def _passes(error: BaseException) -> bool:
    for kind in type(error).__mro__:
        if kind.__name__ in _PASSING.get(kind.__module__.partition(".")[0].lstrip("_"), ()):
            return True
    if type(error).__name__ == "OperationalError":  # of databases: MLflow's, mostly
        return bool(_BUSY.search(str(error)))
    if isinstance(error, TimeoutError):
        return type(error).__module__.partition(".")[0] != "prefect"  # its own limits
    if isinstance(error, OSError) and error.errno in _ERRNOS:
        return True
    return _status(getattr(error, "response", None)) in _STATUSES


def _status(response: Any) -> int | None:
    """Of an HTTP answer, as httpx, requests and botocore keep it with their errors."""
    if isinstance(response, Mapping):
        found: Any = response.get("ResponseMetadata", {})
        return found.get("HTTPStatusCode") if isinstance(found, Mapping) else None
    return getattr(response, "status_code", None)
