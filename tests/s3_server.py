"""A real S3 endpoint, reached as users reach theirs: by AWS's environment variables."""

from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Any

import pytest


def s3_variables(url: str) -> dict[str, str]:
    """What names an endpoint to a process."""
    return {
        "AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }  # fmt: skip


@contextmanager
def serve_s3() -> Generator[str]:
    """The URL of an endpoint on this machine."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


@contextmanager
def bucket_at(url: str, name: str) -> Generator[Any]:
    """This process uses the endpoint inside; its file system, with a bucket of that name."""
    import s3fs

    with pytest.MonkeyPatch.context() as patch:
        for variable, value in s3_variables(url).items():
            patch.setenv(variable, value)
        s3fs.S3FileSystem.clear_instance_cache()
        store: Any = s3fs.S3FileSystem()
        with suppress(FileExistsError):  # moto's store is one for the whole process
            store.mkdir(name)
        yield store
        s3fs.S3FileSystem.clear_instance_cache()
