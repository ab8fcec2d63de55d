"""What a listing of a folder says about its files: sizes and times, without a look at each."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from storage.locations import filesystem, is_local, local_path


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What a listing says about a file."""

    size_bytes: int
    modified_s: float  # since 1970; 0 where the store does not say


def files_in(uri: str) -> dict[str, FileFacts]:
    """The files directly inside a directory by name; empty where it does not exist."""
    if is_local(uri):
        try:
            with os.scandir(local_path(uri)) as entries:
                stats = {each.name: each.stat() for each in entries if each.is_file()}
        except FileNotFoundError:
            return {}
        return {name: FileFacts(stat.st_size, stat.st_mtime) for name, stat in stats.items()}
    fs, path = filesystem(uri)
    fs.invalidate_cache()
    try:
        infos = [info for info in fs.ls(path, detail=True) if info["type"] == "file"]
    except FileNotFoundError:
        return {}
    return {info["name"].rsplit("/", 1)[-1]: _facts(info) for info in infos}


def _facts(info: Mapping[str, Any]) -> FileFacts:
    # each store has a word of its own for the time
    times = (info.get(name) for name in ("LastModified", "last_modified", "mtime", "created"))
    found: Any = next((each for each in times if each), 0.0)
    if isinstance(found, str):
        found = datetime.fromisoformat(found)
    return FileFacts(int(info["size"] or 0), float(getattr(found, "timestamp", lambda: found)()))
