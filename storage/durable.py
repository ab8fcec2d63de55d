"""Writes forced to the disk, on mounts too that cannot do so.

Network shares and FUSE mounts of object stores (CIFS, 9p, s3fs, goofys, gcsfuse, rclone, Mountpoint
for S3) refuse some of what a disk does: to flush a directory, or a file, or to rename. What cannot
be made durable is written all the same; a disk that is full or broken is an error.
"""

import errno
import logging
import os
from pathlib import Path

logger = logging.getLogger(__name__)

_UNABLE = frozenset(
    {
        errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF, errno.ENOTTY,
        errno.ESPIPE,
    }
)  # fmt: skip
"""What file systems answer to a call that they do not have."""
_CLOSED = frozenset({errno.EACCES, errno.EPERM, errno.EISDIR})
"""What a directory answers that may be written to, but not opened to be flushed."""

_told: set[str] = set()


def flush_file(path: Path) -> None:
    """Force a written file to the disk, so that a full disk is seen before any rename.

    Raises:
        OSError: the disk is full or broken; not where the mount cannot flush a file.
    """
    with path.open("rb") as file:
        try:
            os.fsync(file.fileno())
        except OSError as error:
            _unless_unable(error, path.parent, _UNABLE)


def flush_directory(folder: Path) -> None:
    """Make the renames in a directory durable, where its file system can.

    Raises:
        OSError: the disk is broken.
    """
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        _unless_unable(error, folder, _UNABLE | _CLOSED)
        return
    try:
        os.fsync(handle)
    except OSError as error:
        _unless_unable(error, folder, _UNABLE | _CLOSED)
    finally:
        os.close(handle)


def rename(source: Path, target: Path) -> None:
    """Give a flushed file its final name, in place of what is there: atomic.

    Raises:
        OSError: it cannot be done; where the mount has no renames, the message says what helps.
    """
    try:
        source.replace(target)
    except OSError as error:
        if error.errno not in _UNABLE:
            raise
        raise OSError(
            error.errno,
            f"this mount cannot rename files ({os.strerror(error.errno or 0)}), and nothing here "
            "is written in place; give the store's own URL (such as s3://, gs://), or a disk",
            str(target),
        ) from error


def is_unable(error: OSError) -> bool:
    """Whether the file system lacks what was asked of it; nothing is broken or full."""
    return error.errno in _UNABLE


def _unless_unable(error: OSError, folder: Path, known: frozenset[int]) -> None:
    if error.errno not in known:
        raise error
    if str(folder) not in _told:
        _told.add(str(folder))
        logger.info("%s: its file system cannot flush (%s); written all the same", folder, error)
