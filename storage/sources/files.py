"""Photos that are files below a root: listing one directory, tagging and reading one photo."""

import logging
import os
import stat
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

from storage.canonical import decode_path
from storage.content_tags import HASH_PREFIX, TagCache, file_stamp, hash_tag
from storage.locations import filesystem, is_local, join
from storage.records import SourceRecord
from storage.sources.base import MAX_IMAGE_BYTES, ReadFailure, without_root

logger = logging.getLogger(__name__)

OCCURRENCE_MARK = "?occurrence="
"""Ends the URI of the second, third ... record of one photo; ``?`` itself is percent-encoded."""

_REMOTE_READERS = 16
_ETAG_FIELDS = ("ETag", "etag", "md5Hash", "content_md5")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One name of a directory that a listing may look at."""

    name: str
    path: str  # below the root, POSIX separators
    is_directory: bool
    etag: str | None = None  # object stores only


def list_directory(root: str, path: str, *, ancestors: tuple[str, ...] = ()) -> list[Entry]:
    """The visible entries of one directory, so ordered that a walk gives sorted paths.

    Hidden names, what is neither file nor directory, links that leave the root, and links to one
    of ``ancestors`` (real paths; a loop) are left out.
    """
    lister = _list_local if is_local(root) else _list_remote
    entries = lister(root, path, ancestors)
    # A directory sorts with its slash, as in git: the walk then is in order of the whole path.
    entries.sort(key=lambda entry: os.fsencode(entry.name + ("/" if entry.is_directory else "")))
    return entries


def _list_local(root: str, path: str, ancestors: tuple[str, ...]) -> list[Entry]:
    real_root = os.path.realpath(root)
    entries: list[Entry] = []
    try:
        with os.scandir(os.path.join(root, path)) as scanned:
            for item in scanned:
                if item.name.startswith("."):
                    continue
                relative = f"{path}/{item.name}" if path else item.name
                if item.is_symlink() and not _stays_inside(item.path, real_root, ancestors):
                    logger.warning("link is not followed: %s", item.path)
                    continue
                directory = item.is_dir()
                if directory or _is_plain_file(item):
                    entries.append(Entry(name=item.name, path=relative, is_directory=directory))
    except OSError as error:
        logger.warning("directory cannot be listed, its photos are missing: %s", error)
    return entries


def _is_plain_file(item: "os.DirEntry[str]") -> bool:
    try:
        return stat.S_ISREG(item.stat().st_mode)
    except OSError:
        return True  # a dead link, say: a record that will be rejected as unreadable


def _stays_inside(path: str, real_root: str, ancestors: tuple[str, ...]) -> bool:
    target = os.path.realpath(path)
    return _inside(target, real_root) and target not in ancestors


def _inside(real_path: str, real_root: str) -> bool:
    return real_path == real_root or real_path.startswith(real_root.rstrip("/") + "/")


def _list_remote(root: str, path: str, ancestors: tuple[str, ...]) -> list[Entry]:
    del ancestors  # object stores have no links
    fs, base = filesystem(join(root, path) if path else root)
    entries: list[Entry] = []
    for info in fs.ls(base, detail=True):
        name = str(info["name"]).rstrip("/").rsplit("/", 1)[-1]
        if name.startswith(".") or str(info["name"]).strip("/") == base.strip("/"):
            continue
        etag = next((str(info[field]) for field in _ETAG_FIELDS if info.get(field)), None)
        relative = f"{path}/{name}" if path else name
        entries.append(
            Entry(name=name, path=relative, is_directory=info["type"] == "directory", etag=etag)
        )
    return entries


def tag_file(root: str, path: str, *, cache: TagCache, etag: str | None = None) -> str:
    """The content tag of one photo below the root; never raises."""
    if etag is not None:
        return f"etag:{etag}"
    if not is_local(root):
        data = read_photo(root, path)
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
        return f"unreadable:{type(error).__name__}"
    data = read_photo(root, path)
    if isinstance(data, ReadFailure):
        return "unreadable"
    tag = hash_tag(data)
    cache.remember(full, status, tag)
    return tag


def read_photo(root: str, path: str) -> bytes | ReadFailure:
    """The bytes of one file below the root; it never leaves the root, whatever the path says."""
    if path.startswith("/") or ".." in path.split("/"):
        return ReadFailure(f"{path!r} lies outside the source's root")
    try:
        if is_local(root):
            return _read_local(root, path)
        fs, full = filesystem(join(root, path))
        size = int(fs.info(full)["size"] or 0)
        return _too_many_bytes(size) or bytes(fs.cat_file(full))
    except Exception as error:  # object stores raise their clients' own errors
        return ReadFailure(without_root(error, root))


def _read_local(root: str, path: str) -> bytes | ReadFailure:
    full = os.path.realpath(os.path.join(root, path))
    if not _inside(full, os.path.realpath(root)):
        return ReadFailure(f"{path!r} is a link out of the source's root")
    status = os.stat(full)
    if not stat.S_ISREG(status.st_mode):
        return ReadFailure("not a regular file")
    failure = _too_many_bytes(status.st_size)
    if failure is not None:
        return failure
    with open(full, "rb") as file:
        return file.read()


def _too_many_bytes(size: int) -> ReadFailure | None:
    if size <= MAX_IMAGE_BYTES:
        return None
    return ReadFailure(f"{size} bytes, more than {MAX_IMAGE_BYTES}")


def checked(record: SourceRecord, data: bytes | ReadFailure) -> bytes | ReadFailure:
    """The bytes if they are those that were planned: the unit's fingerprint stands for them."""
    tagged = record.content_tag.startswith(HASH_PREFIX)
    if isinstance(data, bytes) and tagged and hash_tag(data) != record.content_tag:
        return ReadFailure("the file changed after it was listed; rebuild to take the new one")
    return data


def read_photos(
    root: str, records: Sequence[SourceRecord]
) -> Iterator[tuple[SourceRecord, bytes | ReadFailure]]:
    """Read file records in order; object stores are asked for several at once."""

    def read(record: SourceRecord) -> bytes | ReadFailure:
        encoded = record.uri.partition("?")[0]
        return checked(record, read_photo(root, decode_path(encoded)))

    if is_local(root):
        for record in records:
            yield record, read(record)
        return
    with ThreadPoolExecutor(_REMOTE_READERS) as pool:
        remaining = iter(records)
        while batch := list(islice(remaining, 2 * _REMOTE_READERS)):
            yield from zip(batch, pool.map(read, batch), strict=True)
