"""Object stores whose key may use one prefix of a bucket only, behind a real S3 server."""

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs

import pytest

from storage.gc import collect_garbage
from storage.layout import Root
from storage.locations import (
    exists,
    file_size,
    names_in,
    read_bytes,
    remove,
    remove_folder,
    rename_folder,
)
from storage.locations import write_atomic as put
from storage.markers import is_committed
from storage.records import Reject
from storage.shards import commit_unit
from storage.sources import resolve_source
from storage.verify import verify_root
from storage.versions import list_versions, open_version, publish_version

s3fs: Any = pytest.importorskip("s3fs", reason="s3fs is not installed: pip install -e '.[s3]'")
pytest.importorskip("moto.server", reason="moto[server] is not installed")

_DENIED = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
App = Callable[[dict[str, Any], Any], Iterable[bytes]]


def limited(app: App, bucket: str, prefix: str) -> App:
    """S3 as a policy shows it that allows objects and ``ListBucket`` below ``prefix`` alone.

    What is not there is *forbidden*, for without ``ListBucket`` nobody may know. Our reading of
    https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html (permissions).
    """

    def answer(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        def denied(start: Any) -> list[bytes]:
            start("403 Forbidden", [("Content-Type", "application/xml")])
            return [] if environ["REQUEST_METHOD"] == "HEAD" else [_DENIED]

        name, _, key = environ["PATH_INFO"].lstrip("/").partition("/")
        if name != bucket:
            return denied(start)
        if not key:
            query = parse_qs(environ["QUERY_STRING"])
            listing = "list-type" in query and query.get("prefix", [""])[0].startswith(prefix)
            if not listing and not (environ["REQUEST_METHOD"] == "POST" and "delete" in query):
                return denied(start)
        elif not key.startswith(prefix):
            return denied(start)
        begun: list[Any] = []
        body = app(environ, lambda *args: begun.append(args))
        if begun[0][0].startswith("404"):
            return denied(start)
        start(*begun[0])
        return body

    return answer


@pytest.fixture(scope="module")
def prefix() -> Iterator[str]:
    """``s3://hcp/team/``, all that the key may use."""
    from threading import Thread

    from moto.moto_server.werkzeug_app import (
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )
    from werkzeug.serving import make_server

    app: Any = DomainDispatcherApplication(create_backend_app)
    servers = [
        make_server("127.0.0.1", 0, each, threaded=True, request_handler=MotoRequestHandler)
        for each in (app, limited(app, "hcp", "team/"))
    ]
    threads = [Thread(target=server.serve_forever, daemon=True) for server in servers]
    for thread in threads:
        thread.start()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (
            ("AWS_ACCESS_KEY_ID", "key"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_DEFAULT_REGION", "us-east-1"),
        ):
            patch.setenv(name, value)
        places = [f"http://127.0.0.1:{server.server_port}" for server in servers]
        patch.setenv("AWS_ENDPOINT_URL", places[0])
        with suppress(FileExistsError):  # moto's store is one for the whole process
            s3fs.S3FileSystem(skip_instance_cache=True).mkdir("hcp")
        patch.setenv("AWS_ENDPOINT_URL", places[1])
        s3fs.S3FileSystem.clear_instance_cache()
        yield "s3://hcp/team"
        s3fs.S3FileSystem.clear_instance_cache()
    for server, thread in zip(servers, threads, strict=True):
        server.shutdown()
        thread.join()


def commit(root: Root, unit: Any, make_sample: Any) -> None:
    first, *others = unit.records
    outcomes = [make_sample(record, seed=i) for i, record in enumerate(others)]
    refused = Reject(key=first.key, uri=first.uri, reason="no_person", detail="")
    commit_unit(root, unit, outcomes=[refused, *outcomes])


@pytest.mark.slow
def test_a_key_for_one_prefix_reads_and_writes_a_data_set(
    prefix: str, make_unit_of: Any, make_sample: Any
) -> None:
    root, units = Root(f"{prefix}/data"), [make_unit_of(4, name) for name in "ab"]
    assert list_versions(root) == []
    assert not is_committed(root, units[0].fingerprint)
    for unit in units:
        commit(root, unit, make_sample)
        assert is_committed(root, unit.fingerprint)
    version = publish_version(root, [units[0].fingerprint], config={})
    assert version == open_version(root)
    assert len(list(version.iter_samples())) == 3
    assert version.rejects.count_rows() == 1
    assert verify_root(str(root)) == []
    assert len(collect_garbage(str(root), dry_run=False)) == 4
    assert not is_committed(root, units[1].fingerprint)


def test_a_key_for_one_prefix_reads_photos_with_their_captions(
    prefix: str, jpeg: Callable[..., bytes]
) -> None:
    for i in range(3):
        put(f"{prefix}/photos/{i}.jpg", jpeg(i))
        put(f"{prefix}/photos/{i}.txt", b"a man")
    source = resolve_source(f"{prefix}/photos")
    records = list(source.records())
    assert [(record.uri, record.caption) for record in records] == [
        (f"{i}.jpg", "a man") for i in range(3)
    ]
    assert [content for _, content in source.read(records)] == [jpeg(i) for i in range(3)]


def test_what_is_not_there_is_missing_and_what_is_closed_is_forbidden(prefix: str) -> None:
    put(f"{prefix}/a.json", b"12")
    assert (exists(f"{prefix}/a.json"), file_size(f"{prefix}/a.json")) == (True, 2)
    for missing in ("a.jso", "a.json.x", "no/such.json"):
        assert not exists(f"{prefix}/{missing}")
        assert file_size(f"{prefix}/{missing}") is None
        with pytest.raises(FileNotFoundError, match=re.escape(missing)):
            read_bytes(f"{prefix}/{missing}")
        remove(f"{prefix}/{missing}")
    assert exists(prefix)
    for closed in ("s3://hcp/other/a.json", "s3://else/a.json"):
        with pytest.raises(PermissionError):
            read_bytes(closed)
        with pytest.raises(PermissionError):
            put(closed, b"x")


def test_d06_brackets_in_a_folders_name_are_no_pattern(prefix: str) -> None:
    for root in (f"{prefix}/brackets", "memory://brackets"):
        for folder in ("run [1]", "run 1", "run*", "run1"):
            put(f"{root}/{folder}/a/f.txt", b"x")
        remove_folder(f"{root}/run [1]")
        remove_folder(f"{root}/run*")
        rename_folder(f"{root}/run 1", f"{root}/run [2]")
        assert names_in(f"{root}/run [2]/a") == ["f.txt"]
        rename_folder(f"{root}/run [2]", f"{root}/run 1")
        assert not exists(f"{root}/run [1]/a/f.txt")
        assert [exists(f"{root}/{name}/a/f.txt") for name in ("run 1", "run1")] == [True, True]
        assert names_in(f"{root}/run 1/a") == ["f.txt"]
