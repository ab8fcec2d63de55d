"""Which files of a folder are annotation files: by their name, else by what is in them."""

import os
import re
from collections.abc import Container, Iterable, Iterator

from storage.errors import SourceError
from storage.locations import check_regular, file_size, filesystem, join
from storage.sources.annotation_shapes import NamedPhoto, OnBroken
from storage.sources.annotations import LIST_SUFFIXES, read_annotations
from storage.sources.base import has_image_suffix
from storage.sources.captions import caption_fields, decode_text
from storage.sources.folder_words import words_of
from storage.sources.listing import folders_of, names_of
from storage.sources.photo_places import PhotoPlaces, root_above
from storage.sources.rows import begins_list

ANNOTATIONS = "annotations"

_MAX_FILES = 20
_MAX_READ_BYTES = 64 * 2**20
_PEEKED_NAMES = 20
_LIST_FOLDERS = frozenset({
    "annotation", "anno", "ann", "anns", "text", "texts", "caption", "captions", "meta", "metadata",
    "json", "jsons", "token", "tokens",
})  # fmt: skip
_LOOKED_AT_BYTES = 2**16  # at a file's beginning, and at its end
_INFO = re.compile(r'"info"\s*:\s*\{[^{}]*\}')  # of the set; its description is no caption
_FIELD = re.compile(r'"([^"\\]{1,40})"\s*:\s*["\[]')
_PHOTO = re.compile(r'"[^"\n]{1,500}(\.\w{3,5})"')


def find_captions(folder: str) -> tuple[str, ...]:
    """The COCO captions files of a folder: in it, else in its ``annotations/``."""
    for place in (folder, join(folder, ANNOTATIONS)):
        names = [name for name in names_of(place) if re.fullmatch(r"captions.*\.json", name, re.I)]
        if names:
            return tuple(join(place, name) for name in names)
    return ()


def find_annotations(folder: str) -> tuple[str, ...]:
    """Files of other names that caption photos: in a folder, ``annotations/`` and its like.

    Files beside a photo of their name are that photo's own; where more than a few are left, they
    are none of one set.
    """
    usual = (folder, join(folder, ANNOTATIONS))
    for place in (*usual, *_folders_of_lists(folder)):
        found = tuple(
            uri
            for uri in _candidates(place)
            if (place in usual and _captions(uri)) or _names_there(uri, folder)
        )
        if found:
            return found
    return ()


def lists_among(names: Iterable[str], parts: Container[str]) -> list[str]:
    """Those of a folder's files that may be lists; none where they are more than a few.

    ``parts`` are the names of its photos, with and without endings.
    """
    found = [name for name in names if name.lower().endswith(LIST_SUFFIXES) and name[0] != "."
             and os.path.splitext(name)[0] not in parts]  # fmt: skip
    return found if len(found) <= _MAX_FILES else []


def read_small(uri: str, *, on_broken: OnBroken | None = None) -> dict[str, NamedPhoto]:
    """What a file says, which may be no annotation file at all: nothing, as of one too large."""
    try:
        check_regular(uri)
        if (file_size(uri) or 0) > _MAX_READ_BYTES:
            return {}
        return read_annotations(uri, on_broken=on_broken or (lambda *_: None))
    except Exception:  # said when the source is read; object stores raise errors of their own
        return {}


def _candidates(place: str) -> Iterator[str]:
    names = names_of(place)
    parts = {part for name in names if has_image_suffix(name)
             for part in (name, os.path.splitext(name)[0])}  # fmt: skip
    lists = lists_among(names, parts)
    whole = [name for name in lists if "lemma" not in name.lower()]  # Flickr8k's words by stems
    found = (join(place, name) for name in whole or lists)
    yield from (uri for uri in found if not _has_rows(uri))


def _has_rows(uri: str) -> bool:
    """Whether a file in JSON is a table: a list of objects, or an object a line."""
    try:
        return uri.lower().endswith(".json") and begins_list(uri)
    except SourceError:
        return False


def _folders_of_lists(folder: str) -> Iterator[str]:
    """Folders of other names beside the photos' that may hold the lists."""
    names = folders_of(folder)
    if len(names) <= _MAX_FILES:
        for name in names:
            if name != ANNOTATIONS and not _LIST_FOLDERS.isdisjoint(words_of(name)):
                yield join(folder, name)


def _names_there(uri: str, folder: str) -> bool:
    """Whether a file that is small enough to be read names photos that are there, with texts."""
    found = read_small(uri)
    named = [name for name, photo in found.items() if photo.texts][:_PEEKED_NAMES]
    if not named:
        return False
    root, home = root_above(folder, (uri,))
    places = PhotoPlaces(root, home=home, captions_uri=uri, first=named[0])
    return any(places.is_there(name) for name in named)


def _captions(uri: str) -> bool:
    """Whether a JSON object's beginning and end name photos and have texts of captions."""
    if not uri.lower().endswith(".json"):
        return False
    try:
        check_regular(uri)
        fs, path = filesystem(uri)
        with fs.open(path, "rb") as file:
            head = file.read(_LOOKED_AT_BYTES)
            size = file.seek(0, os.SEEK_END)
            file.seek(max(len(head), size - _LOOKED_AT_BYTES))
            text = decode_text(head) + decode_text(file.read())
    except Exception:  # said when the source is read; object stores raise errors of their own
        return False
    text = _INFO.sub("", text.lstrip("\ufeff \t\r\n"))
    if not text.startswith("{"):
        return False
    names_photos = any(has_image_suffix(f"x{match[1]}") for match in _PHOTO.finditer(text))
    return names_photos and bool(caption_fields(match[1] for match in _FIELD.finditer(text)))
