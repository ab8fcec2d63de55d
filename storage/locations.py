"""Local paths and fsspec URLs behind one small set of verbs; local paths take the direct way."""

import os
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from storage.durable import flush_directory, flush_file, rename
from storage.extras import explained_imports
from storage.objects import (
    move_objects,
    object_exists,
    object_size,
    objects_below,
    put_object,
    read_object,
    remove_objects,
)
from storage.places import check_place

_SPELT_AS_PATH = re.compile(r"\.{1,2}(/|$)|~|/|file://")

TEMPORARY_PREFIX = ".tmp-"
"""Names that start so are unfinished writes: never read, removed on error and by ``hcp gc``."""


def is_local(uri: str) -> bool:
    """Whether the location is a path of this machine (plain or ``file://``)."""
    return "://" not in uri or uri.startswith("file://")


def local_path(uri: str) -> Path:
    """The path of a local location, made absolute; ``~`` is the user's home."""
    raw = unquote(urlsplit(uri).path) if uri.startswith("file://") else uri
    return Path(os.path.abspath(os.path.expanduser(raw)))


def normalised(uri: str | os.PathLike[str]) -> str:
    """One spelling per location: absolute local path, or URL without a trailing slash.

    Raises:
        PlaceError: it cannot be meant (``storage.places``).
    """
    text = os.fspath(uri)
    check_place(text)
    return str(local_path(text)) if is_local(text) else text.rstrip("/")


def settled(name: str) -> str:
    """A local path made absolute, any other name (a hub's id, a registry's URI) as it is.

    A path is what exists, or is spelt as one: an error elsewhere then names the place that was
    meant.
    """
    is_path = is_local(name) and (_SPELT_AS_PATH.match(name) or exists(name))
    return normalised(name) if is_path else name


def join(root: str, *parts: str) -> str:
    """``root/part/part``; the parts are plain names or relative POSIX paths."""
    return "/".join([root.rstrip("/"), *parts])


def filesystem(uri: str) -> tuple[Any, str]:
    """The fsspec file system of a location and the path inside it."""
    import fsspec.core

    with explained_imports():
        fs, path = fsspec.core.url_to_fs(str(local_path(uri)) if is_local(uri) else uri)
    return fs, str(path)


def fresh_filesystem(uri: str) -> tuple[Any, str]:
    """:func:`filesystem` that has forgotten what it knew of the place: others may write there."""
    fs, path = filesystem(uri)
    fs.invalidate_cache(path)
    return fs, path


def exists(uri: str) -> bool:
    """Whether a file or a directory is there now (no cached answer)."""
    if is_local(uri):
        return local_path(uri).exists()
    return object_exists(*fresh_filesystem(uri))


def is_directory(uri: str) -> bool:
    """Whether the location is a directory, or an object prefix that holds something."""
    if is_local(uri):
        return local_path(uri).is_dir()
    fs, path = filesystem(uri)
    return bool(fs.isdir(path))


def file_size(uri: str) -> int | None:
    """Size in bytes, None where there is no such file."""
    try:
        if is_local(uri):
            return local_path(uri).stat().st_size
        return object_size(*fresh_filesystem(uri))
    except FileNotFoundError:
        return None


def names_in(uri: str) -> list[str]:
    """Sorted names of the files directly inside a directory; empty where it does not exist."""
    if is_local(uri):
        try:
            with os.scandir(local_path(uri)) as entries:
                return sorted(entry.name for entry in entries if not _leads_to_directory(entry))
        except FileNotFoundError:
            return []
    fs, path = filesystem(uri)
    fs.invalidate_cache()
    try:
        infos = fs.ls(path, detail=True)
    except FileNotFoundError:
        return []
    return sorted(info["name"].rsplit("/", 1)[-1] for info in infos if info["type"] == "file")


def entries_in(uri: str) -> list[str]:
    """Sorted names of what lies directly inside a directory; empty where it does not exist."""
    fs, path = fresh_filesystem(uri)
    if not fs.isdir(path):
        return []
    return sorted(str(entry).rstrip("/").rsplit("/", 1)[-1] for entry in fs.ls(path, detail=False))


def files_below(uri: str) -> list[str]:
    """Locations of all files in a directory and its subdirectories, sorted."""
    if is_local(uri):
        return sorted(str(path) for path in local_path(uri).rglob("*") if not path.is_dir())
    fs, path = filesystem(uri)
    fs.invalidate_cache()
    return sorted(f"{uri}/{name[len(path) :].lstrip('/')}" for name in objects_below(fs, path))


def _leads_to_directory(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, say, which must not hide the names beside it
        return False


def stems_in(uri: str, suffix: str) -> list[str]:
    """The finished files of a directory that end in ``suffix``: their names without it, sorted."""
    names = [name for name in names_in(uri) if name[0] != "."]  # nor a system's hidden files
    return [name.removesuffix(suffix) for name in names if name.endswith(suffix)]


def read_bytes(uri: str) -> bytes:
    """Content of a file; OSError where it cannot be read."""
    if is_local(uri):
        check_regular(uri)
        return local_path(uri).read_bytes()
    return read_object(*fresh_filesystem(uri))


def check_regular(uri: str) -> None:
    """Raise OSError where a local name is absent, or a pipe, a socket or a device.

    To open one of those may never end. Objects pass.
    """
    if not is_local(uri):
        return
    mode = os.stat(local_path(uri)).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise OSError(
            f"{uri}: neither a file nor a folder, but a pipe, a socket or a device; write what it "
            "gives into a file first"
        )


def remove(uri: str) -> None:
    """Remove a file; nothing happens where there is none."""
    if is_local(uri):
        local_path(uri).unlink(missing_ok=True)
        return
    fs, path = filesystem(uri)
    if object_exists(fs, path):
        fs.rm_file(path)


def remove_folder(uri: str) -> None:
    """Remove a directory and all that is in it, as far as it can be removed on a local disk."""
    if is_local(uri):
        shutil.rmtree(local_path(uri), ignore_errors=True)
        return
    remove_objects(*filesystem(uri))


def rename_folder(uri: str, target: str) -> None:
    """Give a directory another name, of the same disk or store, which nothing has."""
    if is_local(uri):
        rename(local_path(uri), local_path(target))
        return
    fs, path = filesystem(uri)
    move_objects(fs, path, filesystem(target)[1])


@contextmanager
def local_copy(uri: str) -> Generator[Path, None, None]:
    """A local file with the location's content: the file itself, or a copy that goes afterwards."""
    if is_local(uri):
        yield local_path(uri)
        return
    fs, path = fresh_filesystem(uri)
    with tempfile.TemporaryDirectory(prefix="hcp-") as folder:
        copy = Path(folder) / "copy"
        fs.get_file(path, str(copy))
        yield copy


@contextmanager
def staging(directory: str) -> Generator["Staging", None, None]:
    """Write several files under temporary names, then publish them one by one.

    Whatever was not published when the block ends, also by an error, is removed.
    """
    stage = Staging(directory)
    try:
        yield stage
    finally:
        stage.discard()


class Staging:
    """Unfinished files of one directory; on object stores they wait in a local folder."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._local = is_local(directory)
        self._token = f"{TEMPORARY_PREFIX}{os.getpid()}-{secrets.token_hex(6)}-"
        if self._local:
            self._folder = local_path(directory)
            self._folder.mkdir(parents=True, exist_ok=True)
        else:
            self._folder = Path(tempfile.mkdtemp(prefix="hcp-"))

    def path(self, name: str) -> Path:
        """The temporary path under which the file ``name`` is to be written."""
        return self._folder / f"{self._token}{name}"

    def flush(self, name: str) -> None:
        """Force a written file to the disk, so that a full disk is seen before any rename."""
        flush_file(self.path(name))

    def publish(self, name: str) -> None:
        """Give a flushed file its final name: atomic on disks, one PUT on object stores."""
        if self._local:
            rename(self.path(name), self._folder / name)
            return
        put_object(*filesystem(join(self._directory, name)), self.path(name))

    def sync_directory(self) -> None:
        """Make renames durable (local disks only)."""
        if self._local:
            flush_directory(self._folder)

    def discard(self) -> None:
        """Remove every temporary file that was not published."""
        if not self._local:
            shutil.rmtree(self._folder, ignore_errors=True)
            return
        for leftover in self._folder.glob(f"{self._token}*"):
            leftover.unlink(missing_ok=True)


def write_atomic(uri: str, data: bytes) -> None:
    """Write one small file so that readers see the old content or the new, never half of it."""
    directory, _, name = uri.rpartition("/")
    with staging(directory) as stage:
        stage.path(name).write_bytes(data)
        stage.flush(name)
        stage.publish(name)
        stage.sync_directory()
