"""Whether a photo cannot be read, or the whole place where photos are is away for a while."""

import os
from contextlib import suppress

from storage.errors import StoreAwayError
from storage.locations import filesystem, is_local


def check_present(root: str, error: Exception) -> None:
    """See that a failure to read is the photo's own, and not its store's.

    A store that is away would make rejects of all photos that are read meanwhile. A folder that is
    gone, or empty as a mount point without its mount, is away; a remote place is asked, except
    where it has answered that there is no such photo.

    Args:
        root: of the source.
        error: of reading one photo.

    Raises:
        StoreAwayError: the root does not answer.
    """
    if is_local(root):
        answers = _has_entries(root)
    else:
        answers = isinstance(error, FileNotFoundError | PermissionError) or _is_there(root)
    if not answers:
        raise StoreAwayError(
            f"{root}: does not answer: {type(error).__name__}: {error}; is the store up, and is "
            "the share mounted? The run goes on from what is committed when it is back"
        ) from error


def _has_entries(root: str) -> bool:
    with suppress(OSError):
        if not os.path.isdir(root):
            return os.path.exists(root)
        with os.scandir(root) as entries:
            return next(entries, None) is not None
    return False


def _is_there(root: str) -> bool:
    try:
        fs, path = filesystem(root)
        fs.invalidate_cache()
        return bool(fs.exists(path))
    except Exception:  # object stores raise their clients' own errors
        return False
