"""Single objects of a store behind fsspec, also for keys that may use one prefix only.

A key whose policy allows ``ListBucket`` under a prefix alone may neither ask for the bucket nor
make one, and S3 answers a question for an object that is not there with *forbidden*, not with *not
found*: whether it is there, a listing of its own name says.
"""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


def object_exists(fs: Any, path: str) -> bool:
    """Whether an object, or anything below the path, is there.

    Raises:
        PermissionError: neither it nor a listing may be read.
    """
    try:
        return bool(fs.exists(path))
    except PermissionError as error:
        if _holds_something(fs, path):
            return True
        if _is_listed(fs, path, error):
            raise
        return False


def object_size(fs: Any, path: str) -> int:
    """Size of an object, bytes.

    Raises:
        FileNotFoundError: there is none.
        PermissionError: neither it nor a listing may be read.
    """
    return _told_apart(fs, path, lambda: int(fs.info(path)["size"]))


def read_object(fs: Any, path: str) -> bytes:
    """Content of an object; errors as of :func:`object_size`."""
    return _told_apart(fs, path, lambda: bytes(fs.cat_file(path)))


def put_object(fs: Any, path: str, file: Path) -> None:
    """Write a file as an object: one PUT. A folder is made only where the store wants one."""
    try:
        fs.put_file(str(file), path)
    except PermissionError:
        raise
    except Exception:  # a store with real folders that misses this one, in its library's own error
        with suppress(Exception):  # what is wrong, the second attempt says
            fs.makedirs(path.rpartition("/")[0], exist_ok=True)
        fs.put_file(str(file), path)


def objects_below(fs: Any, path: str) -> list[str]:
    """The paths of all objects below a path; none where there is no such folder."""
    try:
        return list(fs.find(path))
    except PermissionError as error:  # of the question whether the path itself is an object
        if _holds_something(fs, path) or _is_listed(fs, path, error):
            raise
        return []


def remove_objects(fs: Any, path: str) -> None:
    """Remove all objects below a path; its name is no pattern, whatever brackets it has."""
    for name in objects_below(fs, path):
        fs.rm_file(name)
    with suppress(Exception):  # the empty folders of stores that have such
        for folder in (*sorted(fs.find(path, withdirs=True), reverse=True), path):
            fs.rmdir(folder)


def move_objects(fs: Any, path: str, target: str) -> None:
    """Move all objects below a path to another; neither name is a pattern."""
    for name in objects_below(fs, path):
        fs.cp_file(name, target + name[len(path) :])
    remove_objects(fs, path)


def _told_apart(fs: Any, path: str, ask: Callable[[], T]) -> T:
    try:
        return ask()
    except PermissionError as error:
        if _is_listed(fs, path, error):
            raise
        raise FileNotFoundError(path) from error


def _is_listed(fs: Any, path: str, refused: PermissionError) -> bool:
    folder, _, name = path.rstrip("/").rpartition("/")
    try:
        try:  # one request, whatever else lies in the folder
            found = fs.find(folder, maxdepth=1, prefix=name)
        except (TypeError, ValueError):  # a library that cannot ask so
            found = fs.ls(path, detail=False)
    except FileNotFoundError:
        return False
    except OSError:
        raise refused from None
    return any(str(each).strip("/") == path.strip("/") for each in found)


def _holds_something(fs: Any, path: str) -> bool:
    try:
        return bool(fs.ls(path, detail=False))
    except OSError:
        return False
