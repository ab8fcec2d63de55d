"""Finished checkpoints that never change, and the pointer ``latest`` to the newest of them.

Each lies at ``<out>/adapters/<digest>``, named by its content, so that nothing ever overwrites it.
``<out>/latest`` is a small JSON file: object stores have no links.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from itertools import count

from storage.checkpoints import (
    COMPLETE_NAME,
    list_digest,
    listed_files,
    mark_complete,
    read_listed,
    verify_checkpoint,
)
from storage.errors import CheckpointError
from storage.locations import (
    exists,
    is_directory,
    join,
    normalised,
    read_bytes,
    remove_folder,
    rename_folder,
    write_atomic,
)

LATEST = "latest"


Convert = Callable[[str, bytes], bytes]
"""A file's name and content to the content that an export keeps."""


def export_files(
    checkpoint: str, names: Sequence[str], out: str, *, convert: Convert | None = None
) -> str:
    """Keep files of a checkpoint as one of their own, and point ``<out>/latest`` to it.

    Returns:
        Its place, ``<out>/adapters/<digest>``; the same files again give the same place.
    Raises:
        CheckpointError: the checkpoint is unfinished or changed, or has no such file.
    """
    out = normalised(out)
    place = _keep(normalised(checkpoint), names, out, convert)
    if is_directory(join(out, LATEST)):
        _keep_former_latest(out)
    pointer = {"checkpoint": place.removeprefix(f"{out}/")}  # relative: `out` may be moved
    write_atomic(join(out, LATEST), json.dumps(pointer).encode())
    return place


def follow(uri: str) -> str:
    """The directory of a checkpoint: what a pointer names, or the location itself.

    Raises:
        CheckpointError: a file that is no pointer lies there, or it cannot be read.
    """
    place = normalised(uri)
    try:
        if is_directory(place) or exists(join(place, COMPLETE_NAME)):
            return place
        target = str(json.loads(read_bytes(place))["checkpoint"])
    except FileNotFoundError:
        return place  # reading it will say what is missing
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{place}: expected a checkpoint's directory or a pointer to one: {error!r}"
        ) from error
    return join(place.rpartition("/")[0], target)


def kept_place(out: str, digest: str) -> str:
    """Where the checkpoint of a digest is kept below a training's folder."""
    return join(out, "adapters", digest[:16])


def _keep(checkpoint: str, names: Sequence[str], out: str, convert: Convert | None = None) -> str:
    contents = read_listed(checkpoint, names)
    if convert is not None:
        contents = {name: convert(name, content) for name, content in contents.items()}
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    digest = list_digest(digests)
    place = kept_place(out, digest)
    if exists(join(place, COMPLETE_NAME)):
        if (found := verify_checkpoint(place)) != digest:
            raise CheckpointError(f"{place} is another checkpoint: expected {digest}, got {found}")
        return place
    for name, content in contents.items():
        write_atomic(join(place, name), content)
    mark_complete(place, names)
    return place


def _keep_former_latest(out: str) -> None:
    """Keep what versions before pointers wrote to ``<out>/latest/``: nothing is lost."""
    former = join(out, LATEST)
    try:
        _keep(former, tuple(listed_files(former)), out)
        remove_folder(former)
    except CheckpointError:  # unfinished or damaged: it keeps its files under another name
        places = (join(out, f"{LATEST}.unfinished-{n}") for n in count())
        aside = next(place for place in places if not exists(place))
        rename_folder(former, aside)
