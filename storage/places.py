"""Places that cannot be meant: what a variable that was not set, or a mangled URL, leaves behind.

They are refused before anything is written: joined to a path, an empty variable names another
place, below the root of the disk or the working directory.
"""

import os
import re
from urllib.parse import urlsplit

from storage.errors import PlaceError

_BUCKETS = frozenset(
    {
        "s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "oci", "r2", "http", "https",
        "ftp", "sftp", "ssh", "smb", "hf",
    }
)  # fmt: skip
"""Schemes whose URLs begin with a bucket, an account or a host."""
_UNFILLED = re.compile(r"\{\{\s*\$?[\w.-]+\s*\}\}|\$\{\w+\}|^\$[A-Za-z_]\w*|^%\w+%")
_ONE_SLASH = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+):/(?!/)(.*)", re.DOTALL)
_SCHEMES = _BUCKETS | {"file", "hdfs", "memory"}


def check_place(text: str) -> None:
    """See that a path or URL can be meant; nothing is asked of the file system but a doubtful name.

    Raises:
        PlaceError: it is empty, holds a variable that nobody filled in, or is a URL without its
            bucket or with one slash.
    """
    try:
        check_filled(text)
        _check_path(text)
        _check_url(text)
    except PlaceError as error:
        raise PlaceError(f"expected a path or a URL, but {text!r} {error}") from None


def check_filled(text: str) -> None:
    """See that no variable is missing in a text that a template or a shell has made.

    Raises:
        PlaceError: it is empty, or holds a variable that nobody filled in.
    """
    if not text.strip():
        raise PlaceError(
            "is empty: a variable that is not set becomes an empty string (see prefect.yaml); "
            "set it, or leave the field out"
        )
    unfilled = _UNFILLED.search(text)
    if unfilled is not None and not os.path.lexists(text.partition("\0")[0]):
        raise PlaceError(
            f"has a variable that was not filled in, {unfilled.group()!r} in {text!r}: write its "
            "value (YAML and single quotes keep it as it is)"
        )


def check_own_folder(place: str) -> None:
    """See that a place, absolute already, can be a folder of its own, which is written into.

    Raises:
        PlaceError: it is the root of the disk.
    """
    if place in ("/", "//"):
        raise PlaceError(
            "is the root of the disk: name a folder of its own, such as /data/hcp (a variable "
            "that is not set leaves '/' of a path that is joined to it)"
        )


def _check_path(text: str) -> None:
    if "\0" in text:
        raise PlaceError("has a zero byte in it")
    mangled = _ONE_SLASH.match(text)
    if mangled is not None and mangled.group(1).lower() in _SCHEMES and not os.path.lexists(text):
        scheme, rest = mangled.groups()
        hint = f"file:///{rest}" if scheme.lower() == "file" else f"{scheme}://{rest}"
        raise PlaceError(
            f"is a URL with one slash: did you mean {hint!r}? (pathlib.Path takes one away: give "
            "a string)"
        )


def _check_url(text: str) -> None:
    scheme, separator, _ = text.partition("://")
    if not separator:
        return
    host = urlsplit(text).netloc
    if scheme == "file" and host not in ("", "localhost"):
        raise PlaceError(
            f"names a machine, {host!r}: an absolute path has three slashes "
            f"(file:///{text.removeprefix('file://')}), and a relative one no file:// before it"
        )
    if scheme == "file" and not text.removeprefix("file://").removeprefix(host).strip("/ "):
        raise PlaceError("names no folder")
    if scheme.lower() in _BUCKETS and not host.strip():
        raise PlaceError(f"has no bucket or host after {scheme}://: is a variable not set?")
