"""Photos that are files below a root: tagging and reading one photo."""

import os
import stat
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from itertools import islice

from storage.canonical import decode_path
from storage.content_tags import HASH_PREFIX, TagCache, file_stamp, hash_tag
from storage.locations import filesystem, is_local, join
from storage.records import SourceRecord
from storage.sources.base import (
    MAX_IMAGE_BYTES,
    UNTAGGED,
    Contents,
    ReadFailure,
    without_root,
)
from storage.sources.presence import check_present

OCCURRENCE_MARK = "?occurrence="
"""Ends the URI of the second, third ... record of one photo; ``?`` itself is percent-encoded."""

_REMOTE_READERS = 16


@contextmanager
def tag_cache(*, tags: bool) -> Generator[TagCache | None, None, None]:
    """The tags known from earlier listings; None for a listing that is to open no photo."""
    if not tags:
        yield None
        return
    with closing(TagCache()) as cache:
        yield cache


def tag_file(
    root: str,
    path: str,
    *,
    cache: TagCache | None,
    etag: str | None = None,
    follow_links: bool = False,
) -> str:
    """The content tag of one photo below the root. Without a cache, ``UNTAGGED``.

    Raises:
        StoreAwayError: the root itself does not answer.
    """
    if cache is None:
        return UNTAGGED
    if etag is not None:
        return f"etag:{etag}"
    if not is_local(root):
        data = read_photo(root, path, follow_links=follow_links)
        return "unreadable" if isinstance(data, ReadFailure) else hash_tag(data)
    full = os.path.join(root, path)
    try:
        status = os.stat(full)
        known = cache.lookup(full, file_stamp(status))
        if known is not None:
            return known
        if status.st_size > MAX_IMAGE_BYTES:
            return f"size:{status.st_size}"
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        check_present(root, error)
        return f"unreadable:{type(error).__name__}"
    data = read_photo(root, path, follow_links=follow_links)
    if isinstance(data, ReadFailure):
        return "unreadable"
    tag = hash_tag(data)
    cache.remember(full, status, tag)
    return tag


def read_photo(root: str, path: str, *, follow_links: bool = False) -> bytes | ReadFailure:
    """The bytes of one file below the root.

    It never leaves the root, whatever the path says; links out of it are read where that is asked
    for.

    Raises:
        StoreAwayError: the root itself does not answer.
    """
    if path.startswith("/") or ".." in path.split("/"):
        return ReadFailure(f"{path!r} lies outside the source's root")
    try:
        if is_local(root):
            return _read_local(root, path, follow_links=follow_links)
        fs, full = filesystem(join(root, path))
        size = int(fs.info(full)["size"] or 0)
        return too_many_bytes(size) or bytes(fs.cat_file(full))
    except Exception as error:  # object stores raise their clients' own errors
        check_present(root, error)
        return ReadFailure(without_root(error, root))


def _read_local(root: str, path: str, *, follow_links: bool) -> bytes | ReadFailure:
    full = os.path.join(root, path)
    status = _status_without_links(root, path)
    if status is None:
        full = os.path.realpath(full)
        if not follow_links and not is_inside(full, os.path.realpath(root)):
            return ReadFailure(
                f"{path!r} is a link out of the source's root; --follow-links reads it"
            )
        status = os.stat(full)
    if not stat.S_ISREG(status.st_mode):
        return ReadFailure("not a regular file")
    failure = too_many_bytes(status.st_size)
    if failure is not None:
        return failure
    with open(full, "rb") as file:
        return file.read()


def _status_without_links(root: str, path: str) -> os.stat_result | None:
    """What lies at a path below the root; None where a link is on the way, which may leave it."""
    status = None
    place = root
    for part in path.split("/"):
        place = f"{place}/{part}"
        status = os.lstat(place)
        if stat.S_ISLNK(status.st_mode):
            return None
    return status


def is_inside(real_path: str, real_root: str) -> bool:
    """Whether a real path is the real root or below it."""
    return real_path == real_root or real_path.startswith(real_root.rstrip("/") + "/")


def too_many_bytes(size: int) -> ReadFailure | None:
    """Why a photo of this size is not read; None where it is."""
    if size <= MAX_IMAGE_BYTES:
        return None
    return ReadFailure(f"{size} bytes, more than {MAX_IMAGE_BYTES}; PNG or JPEG takes fewer")


def checked(record: SourceRecord, data: bytes | ReadFailure) -> bytes | ReadFailure:
    """The bytes if they are those that were planned: the unit's fingerprint stands for them."""
    tagged = record.content_tag.startswith(HASH_PREFIX)
    if isinstance(data, bytes) and tagged and hash_tag(data) != record.content_tag:
        return ReadFailure("the file changed after it was listed; rebuild to take the new one")
    return data


def read_photos(
    root: str, records: Sequence[SourceRecord], *, follow_links: bool = False
) -> Contents:
    """Read file records in order; object stores are asked for several at once."""

    def read(record: SourceRecord) -> bytes | ReadFailure:
        encoded = record.uri.partition("?")[0]
        data = read_photo(root, decode_path(encoded), follow_links=follow_links)
        return checked(record, data)

    if is_local(root):
        for record in records:
            yield record, read(record)
        return
    with ThreadPoolExecutor(_REMOTE_READERS) as pool:
        remaining = iter(records)
        while batch := list(islice(remaining, 2 * _REMOTE_READERS)):
            yield from zip(batch, pool.map(read, batch), strict=True)
