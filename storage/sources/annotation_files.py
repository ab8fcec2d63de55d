"""Which JSON files of a folder are annotation files: by their name, else by what is in them."""

import os
import re

from storage.locations import check_regular, filesystem, join
from storage.sources.base import has_image_suffix
from storage.sources.captions import caption_fields, decode_text
from storage.sources.listing import names_of

ANNOTATIONS = "annotations"

_MAX_FILES = 20
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
    """JSON files of other names, in a folder or its ``annotations/``, that caption its photos.

    Files beside a photo of their name are that photo's own; where more than a few are left, they
    are none of one set.
    """
    for place in (folder, join(folder, ANNOTATIONS)):
        names = names_of(place)
        photos = {part for name in names if has_image_suffix(name)
                  for part in (name, os.path.splitext(name)[0])}  # fmt: skip
        candidates = [name for name in names if name.lower().endswith(".json") and name[0] != "."
                      and os.path.splitext(name)[0] not in photos]  # fmt: skip
        if len(candidates) <= _MAX_FILES:
            found = tuple(join(place, name) for name in candidates if _captions(join(place, name)))
            if found:
                return found
    return ()


def _captions(uri: str) -> bool:
    """Whether an object's beginning and end name photos and have texts of captions."""
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
