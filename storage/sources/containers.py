"""Tars and tables below a folder, and which of the four kinds of sources a folder is."""

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from storage.errors import SourceError
from storage.locations import filesystem, is_local, join, local_path
from storage.sources.annotation_files import find_annotations
from storage.sources.base import SourceFormat, has_image_suffix
from storage.sources.captions import caption_fields
from storage.sources.folder_words import words_of
from storage.sources.metadata import is_metadata_name
from storage.sources.rows import begins_list, column_names, table_kind
from storage.sources.table_ids import id_column, names_photos
from storage.sources.table_listing import missing_columns
from storage.sources.table_photos import RowPhotos
from storage.sources.tar_samples import is_sidecar_name

logger = logging.getLogger(__name__)

_MAX_DEPTH = 8
_MAX_FOLDERS = 200
_MAX_TABLES = 20
_TABLE_WORDS = frozenset({
    "data", "dataset", "train", "training", "val", "valid", "validation", "test", "label", "labels",
    "annotation", "annotations", "metadata", "meta", "results",
})  # fmt: skip
_TAR_SUFFIXES = (".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst")


def is_tar_name(name: str) -> bool:
    """Whether a visible file name ends like a tar, packed or not."""
    base = name.rpartition("/")[2]
    return base.lower().endswith(_TAR_SUFFIXES) and not base.startswith(".")


def is_table_name(name: str) -> bool:
    """Whether a visible file name ends like a table that is no folder's metadata file."""
    base = name.rpartition("/")[2]
    kind = table_kind(base)
    return kind not in (None, "json") and base[0] not in "._" and not is_metadata_name(base)


def containers_below(
    folder: str, wanted: Callable[[str], bool], *, follow_links: bool = False
) -> tuple[str, ...]:
    """Names of the wanted files below a folder, sorted; visible ones alone.

    A file may be a link out of the folder, as in Hugging Face's cache; folders that are links are
    looked into where ``follow_links`` says so.

    Raises:
        SourceError: the folder cannot be listed.
    """
    try:
        names = _local_files(folder, follow_links) if is_local(folder) else _remote_files(folder)
    except Exception as error:  # object stores raise their clients' own errors
        raise SourceError(f"{folder}: the folder cannot be listed: {error}") from error
    return tuple(sorted(name for name in names if wanted(name)))


def _local_files(folder: str, follow_links: bool) -> list[str]:
    root = str(local_path(folder))
    os.listdir(root)  # os.walk would say nothing of a root that cannot be listed
    found: list[str] = []
    seen: set[str] = set()
    for path, folders, files in os.walk(root, followlinks=follow_links):
        if follow_links:  # two ways to one folder, or a circle
            real = os.path.realpath(path)
            if real in seen:
                folders.clear()
                continue
            seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        below = os.path.relpath(path, root)
        found += files if below == "." else [f"{below}/{name}" for name in files]
    return found


def _remote_files(folder: str) -> list[str]:
    fs, base = filesystem(folder)
    fs.invalidate_cache()
    names = [str(name)[len(base) :].lstrip("/") for name in fs.find(base)]
    return [name for name in names if not any(part[:1] == "." for part in name.split("/"))]


@dataclass(slots=True)
class _Level:
    """What lies in the folders of one depth."""

    photos: bool = False
    sidecars: bool = False
    tars: bool = False
    tables: "list[str] | None" = None


def folder_format(place: str, *, follow_links: bool = False) -> SourceFormat:
    """Which kind of source a folder without COCO json is, by the first depth that shows any.

    Photos make a folder, tars WebDataset, tables with the columns a table. Deeper down, photos
    without captions of their own are not what such a table's folder is about.
    """
    only_lists = False
    level = [""]
    for _ in range(_MAX_DEPTH):
        found = _Level(tables=[])
        deeper: list[str] = []
        for path in level[:_MAX_FOLDERS]:
            files, folders = _inside(
                join(place, path) if path else place, follow_links=follow_links
            )
            _note(found, path, files)
            deeper += [f"{path}/{name}" if path else name for name in folders]
        usable = usable_table(place, found.tables or [])
        only_lists = only_lists or any(is_table_name(name) for name in found.tables or [])
        if found.photos and usable and not found.sidecars:
            if level != [""] or _is_of_photos(place, usable):
                return "table"
            logger.warning(
                "%s is read as a folder of photos, none of which has a caption file; the captions "
                "of %s count if that file is given as the source",
                place,
                usable,
            )
        if found.photos:
            return "coco" if not found.sidecars and find_annotations(place) else "folder"
        if found.tars:
            return "webdataset"
        if usable:
            return "table"
        level = deeper
    return "table" if only_lists else "folder"


def _is_of_photos(place: str, name: str) -> bool:
    """Whether a table beside photos names them, and is no csv or has a name that says so.

    Of any other csv the folder is as earlier versions read it, without captions.
    """
    words = words_of(os.path.splitext(name)[0])
    known = bool(caption_fields(words)) or not _TABLE_WORDS.isdisjoint(words)
    its_kind = known or table_kind(name) != "csv"
    return its_kind and names_photos(join(place, name), RowPhotos(place))


def _note(found: _Level, path: str, files: Sequence[str]) -> None:
    photos = {os.path.splitext(name)[0] for name in files if has_image_suffix(name)}
    found.photos = found.photos or bool(photos)
    found.tars = found.tars or any(is_tar_name(name) for name in files)
    tables = [name for name in files if is_table_name(name)]
    tables += [
        name for name in files
        if name.lower().endswith(".json") and os.path.splitext(name)[0] not in photos
    ][: _MAX_TABLES // 4]  # fmt: skip
    if found.tables is not None:
        found.tables += [f"{path}/{name}" if path else name for name in tables]
    if photos and not found.sidecars:
        found.sidecars = any(
            is_metadata_name(name)
            or (is_sidecar_name(name) and {os.path.splitext(name)[0], name.split(".")[0]} & photos)
            for name in files
        )


def usable_table(place: str, names: Sequence[str]) -> str | None:
    """The first of the first few tables below a folder that has the columns."""
    for name in names[:_MAX_TABLES]:
        uri = join(place, name)
        try:
            if table_kind(name) == "json" and not begins_list(uri):
                continue
            if missing_columns(uri) is None and any(column_names(uri)):
                return name
            if id_column(uri, RowPhotos(place), folder=name.rpartition("/")[0]) is not None:
                return name
        except SourceError:
            continue  # told when the source is read
    return None


def _inside(folder: str, *, follow_links: bool) -> tuple[list[str], list[str]]:
    """Visible files and folders directly inside a folder; links to folders only as asked for."""
    files: list[str] = []
    folders: list[str] = []
    try:
        if is_local(folder):
            with os.scandir(local_path(folder)) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    if not _is_folder(entry):
                        files.append(entry.name)
                    elif follow_links or not entry.is_symlink():
                        folders.append(entry.name)
        else:
            fs, base = filesystem(folder)
            for info in fs.ls(base, detail=True):
                name = str(info["name"]).rstrip("/").rsplit("/", 1)[-1]
                if not name.startswith("."):
                    (folders if info["type"] == "directory" else files).append(name)
    except Exception:  # told when the source is listed
        return [], []
    return sorted(files), sorted(folders)


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False
