"""What passes by itself, told from what does not, by errors as the libraries raise them."""

import errno
import socket
import sqlite3
from collections.abc import Callable

import httpx
import pytest
from pydantic import ValidationError

from flows.limits import RunTimeoutError
from flows.params import RebuildParams
from flows.retries import DELAYS_S, retried, will_pass
from flows.stack.ports import any_free
from storage.errors import CheckpointError, ShardError, SourceError, StoreAwayError


def raised(call: Callable[[], object]) -> Exception:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - whichever it is
        call()
    return caught.value


def wrapped(cause: Exception) -> ShardError:
    error = ShardError("shards/0.tar cannot be written")
    error.__cause__ = cause
    return error


def botocore_error() -> Exception:
    config = pytest.importorskip("botocore.config").Config(retries={"total_max_attempts": 1})
    session = pytest.importorskip("botocore.session").get_session()
    client = session.create_client(
        "s3", endpoint_url=f"http://127.0.0.1:{any_free()}", region_name="us-east-1",
        aws_access_key_id="key", aws_secret_access_key="secret", config=config,
    )  # fmt: skip
    return raised(client.list_buckets)


def client_error(status: int) -> Exception:
    errors = pytest.importorskip("botocore.exceptions")
    answer = {"Error": {"Code": "x"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return errors.ClientError(answer, "GetObject")


def status_error(status: int) -> Exception:
    request = httpx.Request("GET", "http://127.0.0.1/x")
    return raised(httpx.Response(status, request=request).raise_for_status)


def test_a_store_or_a_server_that_is_away_passes() -> None:
    url = f"http://127.0.0.1:{any_free()}"
    for error in (
        raised(lambda: httpx.get(url)),
        raised(lambda: socket.create_connection(("127.0.0.1", any_free()))),
        botocore_error(),
        client_error(503),
        status_error(502),
        status_error(429),
        StoreAwayError("s3://bucket does not answer"),
        OSError(errno.ENOTCONN, "Transport endpoint is not connected"),
        OSError(errno.ESTALE, "Stale file handle"),
        TimeoutError("timed out"),
        sqlite3.OperationalError("database is locked"),
    ):
        assert will_pass(error), error
        assert will_pass(wrapped(error)), error


def test_lost_ray_workers_pass_also_inside_a_task_error() -> None:
    from ray.exceptions import ActorDiedError, NodeDiedError, RayTaskError

    for error in (ActorDiedError(), NodeDiedError("gone")):
        assert will_pass(error)
    away, wrong = StoreAwayError("away"), SourceError("not a tar")
    assert will_pass(RayTaskError("process", "traceback", away).as_instanceof_cause())
    assert not will_pass(RayTaskError("process", "traceback", wrong).as_instanceof_cause())


def test_what_is_wrong_stays_wrong() -> None:
    with pytest.raises(ValidationError) as invalid:
        RebuildParams.model_validate({"source": "/a", "root": ""})
    for error in (
        invalid.value,
        SourceError("no such source"),
        CheckpointError("does not fit"),
        FileNotFoundError(errno.ENOENT, "no such file"),
        PermissionError(errno.EACCES, "denied"),
        OSError(errno.ENOSPC, "No space left on device"),
        client_error(403),
        client_error(404),
        status_error(404),
        sqlite3.OperationalError("no such table: runs"),
        RunTimeoutError("not ended within 22 h"),
        ValueError("wrong"),
        KeyError("wrong"),
    ):
        assert not will_pass(error), error
        assert not will_pass(wrapped(error)), error


def test_pauses_grow_and_a_success_ends_them(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("flows.retries.pausable_sleep", pauses.append)
    said: list[int] = []

    def call(number: int) -> str:
        if number < 3:
            raise ConnectionError("away")
        return f"try {number}"

    assert retried(call, say=lambda number, *_: said.append(number)) == "try 3"
    assert said == [0, 1, 2]
    assert pauses == sorted(pauses)
    assert all(d <= p <= 1.2 * d for d, p in zip(DELAYS_S, pauses, strict=False))
    assert sum(DELAYS_S) > 3600  # a store may be away for an hour


def test_what_does_not_pass_is_raised_at_once() -> None:
    calls: list[int] = []

    def call(number: int) -> None:
        calls.append(number)
        raise SourceError("not a tar")

    with pytest.raises(SourceError):
        retried(call, say=lambda *_: None)
    assert calls == [0]


def test_what_a_subflow_has_tried_to_the_end_its_parent_does_not_try_again() -> None:
    calls: list[int] = []

    def inner(_: int) -> None:
        calls.append(0)
        raise ConnectionError("away")

    def outer(_: int) -> None:
        retried(inner, say=lambda *_: None, delays_s=(0.0, 0.0))

    with pytest.raises(ConnectionError):
        retried(outer, say=lambda *_: None, delays_s=(0.0, 0.0))
    assert len(calls) == 3
