"""Committed shards read back: samples one after the other, rows, rejects, digests."""

import hashlib
import tarfile
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from storage.codec import decode_sample, reject_schema, sample_schema
from storage.errors import ShardError
from storage.extras import explained_imports
from storage.layout import Root
from storage.locations import filesystem, fresh_filesystem, is_local, local_copy
from storage.markers import read_shard_info
from storage.records import Reject, Sample

_SCHEMAS = {"parquet": sample_schema, "rejects.parquet": reject_schema}


class Shard:
    """An open tar of samples."""

    def __init__(self, uri: str, tar: tarfile.TarFile) -> None:
        self.uri, self._tar = uri, tar

    def __iter__(self) -> Iterator[tuple[str, dict[str, bytes]]]:
        """(key, members by suffix) of the samples in order, not decoded, read as they come."""
        key, members = "", dict[str, bytes]()
        for member in self._tar:
            stem, _, suffix = member.name.partition(".")
            if stem != key and members:
                yield key, members
                members = {}
            key = stem
            members[suffix] = self._content(member)
        if members:
            yield key, members

    def decode(self, key: str, members: dict[str, bytes]) -> Sample:
        """The sample of its members; ShardError names it where it is broken."""
        return decode_sample(members, where=f"{self.uri} sample {key}")

    def _content(self, member: tarfile.TarInfo) -> bytes:
        content = self._tar.extractfile(member)
        return b"" if content is None else content.read()


@contextmanager
def open_shard(root: Root, fingerprint: str) -> Generator[Shard]:
    """The tar of a committed shard, to be read from its start to its end.

    Raises:
        ShardError: it is missing or broken, also while it is read.
    """
    uri = root.shard(fingerprint, "tar")
    try:
        with _file(uri) as file, tarfile.open(fileobj=file, mode="r:") as tar:
            yield Shard(uri, tar)
    except (tarfile.TarError, OSError, EOFError) as error:
        raise ShardError(f"shard {uri} cannot be read: {error}") from error


@contextmanager
def _file(uri: str) -> Generator[Any]:
    if is_local(uri):
        with local_copy(uri) as path, path.open("rb") as file:
            yield file
        return
    fs, path = fresh_filesystem(uri)
    with fs.open(path, "rb") as file:
        yield file


def iter_samples(root: Root, fingerprint: str) -> Iterator[Sample]:
    """The samples of a committed shard in the unit's order, masks included.

    Raises:
        ShardError: not committed, broken, or not as many samples as the marker says.
    """
    info = read_shard_info(root, fingerprint)
    count = 0
    with open_shard(root, fingerprint) as shard:
        for key, members in shard:
            count += 1
            yield shard.decode(key, members)
    if count != info.n_samples:
        uri = root.shard(fingerprint, "tar")
        raise ShardError(f"{uri}: expected {info.n_samples} samples, got {count}")


def read_rejects(root: Root, fingerprint: str) -> list[Reject]:
    """The rejects of a committed shard, in the unit's order.

    Raises:
        ShardError: the file is missing or broken.
    """
    with explained_imports():
        import pyarrow as pa

    try:
        rows = open_rows(root, [fingerprint], "rejects.parquet").to_table().to_pylist()
        return [Reject(**row) for row in rows]
    except (OSError, TypeError, pa.ArrowException) as error:
        uri = root.shard(fingerprint, "rejects.parquet")
        raise ShardError(f"{uri}: rejects cannot be read: {error}") from error


def open_rows(root: Root, fingerprints: Sequence[str], suffix: str) -> Any:
    """The rows of the samples (parquet) or rejects of shards, as one ``pyarrow.dataset``."""
    with explained_imports():
        import pyarrow.dataset as ds

    paths, fs = [root.shard(fingerprint, suffix) for fingerprint in fingerprints], None
    if not is_local(root.uri):
        fs, _ = fresh_filesystem(root.shards)
        paths = [filesystem(uri)[1] for uri in paths]
    return ds.dataset(paths, schema=_SCHEMAS[suffix](), format="parquet", filesystem=fs)


def digest_of_file(root: Root, fingerprint: str, suffix: str) -> str:
    """The sha256 of one file of a shard; OSError where it cannot be read."""
    with local_copy(root.shard(fingerprint, suffix)) as path, path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
