"""Shards held open for reading at will: any sample, from any thread, a few shards at a time.

On a local disk a sample is read where it lies, and nothing else of its tar but the headers. Of an
object store the whole tar is fetched once per process: samples are wanted in another order than
the tar's, and its headers lie between them, so that range reads would ask thousands of times. The
copy has no name from the moment it is open, so that its room is free when the shard is closed,
however the process ends.
"""

import os
import tarfile
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import partial
from threading import Lock
from typing import BinaryIO, Protocol
from weakref import finalize

from storage.codec import decode_sample
from storage.errors import MissingExtraError, ShardError
from storage.layout import Root
from storage.locations import is_local, local_copy
from storage.records import Sample

OPEN_SHARDS = 3  # of one version and process: the current one, the next, and one that stands in
_ATTEMPTS, _WAIT_S = 3, 0.5  # of fetching an object; the wait doubles


class OpenTar:
    """A tar whose members are read at will; closed when nobody holds it any more."""

    def __init__(self, uri: str) -> None:
        """Open the tar.

        Raises:
            ShardError: it is missing, or cannot be read at all.
        """
        self.uri = uri
        try:
            self._file = _opened(self.uri)
        except OSError as error:
            raise ShardError(f"shard {self.uri} cannot be read: {error}") from error
        finalize(self, self._file.close)
        self.places = self._listed()

    @property
    def size_bytes(self) -> int:
        """Of the file."""
        return os.fstat(self._file.fileno()).st_size

    def _listed(self) -> Mapping[str, Mapping[str, tuple[int, int]]]:
        """(offset, size) of each member by key and suffix, as far as the tar can be read."""
        members: dict[str, dict[str, tuple[int, int]]] = {}
        try:
            with tarfile.open(fileobj=self._file, mode="r:") as tar:
                for member in tar:
                    key, _, suffix = member.name.partition(".")
                    members.setdefault(key, {})[suffix] = member.offset_data, member.size
        except (tarfile.TarError, OSError, EOFError) as error:
            if not members:
                raise ShardError(f"shard {self.uri} cannot be read: {error}") from error
            # A tar that was cut: what lies before the cut is whole.
        return members

    def list_keys(self) -> tuple[str, ...]:
        """The samples' keys in the tar's order, from its headers alone."""
        return tuple(self.places)

    def read(self, key: str, suffix: str) -> bytes:
        """One member of one sample.

        Raises:
            ShardError: there is none, or it cannot be read.
        """
        place = self.places.get(key, {}).get(suffix)
        if place is None:
            raise ShardError(f"{self.uri} sample {key}: there is no member {suffix}")
        offset, size = place
        try:
            return os.pread(self._file.fileno(), size, offset)
        except OSError as error:
            raise ShardError(f"shard {self.uri} cannot be read: {error}") from error


class OpenShard(OpenTar):
    """A tar of samples."""

    def __init__(self, root: Root, fingerprint: str) -> None:
        """Open a shard of a data set.

        Raises:
            ShardError: it is missing, or cannot be read at all.
        """
        super().__init__(root.shard(fingerprint, "tar"))

    def sample(self, key: str) -> Sample:
        """One sample.

        Raises:
            ShardError: it is not in the tar, or broken.
        """
        members = {suffix: self.read(key, suffix) for suffix in self.places.get(key, {})}
        return decode_sample(members, where=f"{self.uri} sample {key}")


class Readable(Protocol):
    """A shard that can be read at will: ``OpenShard``, or one of a cache."""

    @property
    def uri(self) -> str:
        """The tar's location."""
        ...

    def list_keys(self) -> tuple[str, ...]:
        """The samples' keys in the tar's order."""
        ...

    def sample(self, key: str) -> Sample:
        """One sample; ShardError where it cannot be read."""
        ...


def _opened(uri: str) -> BinaryIO:
    for attempt in range(_ATTEMPTS):
        try:
            with local_copy(uri) as path:
                return path.open("rb")
        except (FileNotFoundError, PermissionError, MissingExtraError):
            raise
        # Libraries of object stores have errors of their own besides OSError.
        except Exception as error:
            if is_local(uri) or attempt == _ATTEMPTS - 1:
                raise OSError(f"{type(error).__name__}: {error}") from error
            time.sleep(_WAIT_S * 2**attempt)
    raise AssertionError("the last attempt returns or raises")


class ShardCache:
    """The shards of one version that are open now, the least recently used closed first."""

    def __init__(
        self,
        root: Root,
        *,
        limit: int = OPEN_SHARDS,
        open_shard: Callable[[str], Readable] | None = None,
    ) -> None:
        self._open, self._limit = open_shard or partial(OpenShard, root), limit
        self._lock = Lock()
        self._shards: OrderedDict[str, Future[Readable]] = OrderedDict()

    def __getitem__(self, fingerprint: str) -> Readable:
        """The shard, opened once for all threads that ask at the same time.

        Raises:
            ShardError: it cannot be opened. It is tried again only after it has left the cache.
        """
        with self._lock:
            future = self._shards.get(fingerprint)
            found = future is not None
            if future is None:
                future = self._shards[fingerprint] = Future[Readable]()
            self._shards.move_to_end(fingerprint)
            while len(self._shards) > self._limit:
                self._shards.popitem(last=False)
        if not found:
            try:
                future.set_result(self._open(fingerprint))
            except BaseException as error:  # also an interrupt: others wait for this answer
                future.set_exception(error)
        return future.result()
