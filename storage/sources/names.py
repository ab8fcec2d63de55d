"""Names of photos as other systems write them: Unicode forms, back-slashes, case, escapes.

A name that is there as it is written is always that file; other spellings count only where it
is not.
"""

import os
import unicodedata
from collections.abc import Iterable, Mapping
from functools import lru_cache
from urllib.parse import unquote

from storage.locations import entries_in, exists, is_local, join
from storage.sources.base import IMAGE_SUFFIXES, has_image_suffix
from storage.sources.captions import folded_field

PHOTO_FIELDS = (
    "file_name", "filename", "image_path", "img_path", "image_file", "image_name", "img_name",
    "image", "img", "photo", "file_path", "file", "path", "img_file", "image_file_name",
    "photo_path", "local_path", "relative_path",
)  # fmt: skip
"""Names of fields that name a photo's file, matched as captions' names are; the best first."""

_CACHED_FOLDERS = 64
_ENDINGS = tuple(dict.fromkeys((".jpg", ".png", ".jpeg", ".webp", *sorted(IMAGE_SUFFIXES))))


_RANKS = {folded_field(name): rank for rank, name in enumerate(PHOTO_FIELDS)}


def photo_name(fields: Mapping[str, object]) -> tuple[str | None, str | None]:
    """The field of a row that names its photo, and the name; a struct's ``path`` is a name, too."""
    found = [(_RANKS[folded_field(str(field))], str(field)) for field in fields
             if folded_field(str(field)) in _RANKS]  # fmt: skip
    for _, field in sorted(found):
        value = fields[field]
        if isinstance(value, Mapping):
            value = value.get("path")
        if isinstance(value, str) and value:
            return field, value
    return None, None


def plain_path(name: str) -> str:
    """One spelling of a relative path: slashes, no ``./``, no escapes, Unicode composed (NFC).

    Surrogates, which stand for bytes that are no UTF-8, stay as they are.
    """
    path = unquote(name, errors="surrogateescape") if "%" in name else name
    path = path.replace("\\", "/")
    if "/" in path:
        rooted = path.startswith("/")
        path = "/".join(part for part in path.split("/") if part not in ("", "."))
        path = f"/{path}" if rooted else path
    return unicodedata.normalize("NFC", path)


def folded_path(name: str) -> str:
    """:func:`plain_path` without regard to case, as file systems of desktops compare names."""
    return unicodedata.normalize("NFC", plain_path(name).casefold())


class SpellingIndex:
    """Finds among some names the one that another system spells differently."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names: set[str] = set()
        self._plain: dict[str, str] = {}
        self._folded: dict[str, str | None] = {}
        for name in names:
            self._names.add(name)
            self._plain.setdefault(plain_path(name), name)
            folded = folded_path(name)
            # Two names that differ in case only: neither is meant by a third spelling.
            self._folded[folded] = None if folded in self._folded else name

    def find(self, name: str) -> str | None:
        """The name that is meant, None where there is none, or several."""
        if name in self._names:
            return name
        return self._plain.get(plain_path(name)) or self._folded.get(folded_path(name))


class PhotoNames:
    """The files below a root that a table's or an annotation file's names mean.

    Pickles by its root alone. Folders are listed only for names that are not there as written,
    and the last few listings are kept.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        self._local = is_local(root)
        self._index = lru_cache(_CACHED_FOLDERS)(self._list)

    def __reduce__(self) -> tuple[type["PhotoNames"], tuple[str]]:
        return PhotoNames, (self.root,)

    def find(self, name: str) -> str:
        """The path below the root; the name itself where nothing there is meant by it."""
        if not name or "\0" in name or self._stands(name):
            return name
        return self._respelled(name) or name

    def lookup(self, name: str) -> str | None:
        """:meth:`find` that is sure: None where nothing is there, one listing of each folder.

        What leads out of the root, or is a folder by its name, is nothing.
        """
        parts = name.split("/")
        if name.startswith("/") or ".." in parts or parts[-1] in ("", ".") or "\0" in name:
            return None
        return name if self._local and self._stands(name) else self._respelled(name)

    def lookup_photo(self, name: str) -> str | None:
        """:meth:`lookup`, also of a photo that is named without its ending."""
        found = self.lookup(name)
        if found is not None or has_image_suffix(name) or not name:
            return found
        endings = (self.lookup(name + suffix) for suffix in _ENDINGS)
        return next((each for each in endings if each is not None), None)

    def _respelled(self, name: str) -> str | None:
        plain = plain_path(name)
        if plain.startswith("/") or ".." in plain.split("/"):
            return None  # refused by who reads it
        path = ""
        for part in plain.split("/"):
            found = self._index(path).find(part)
            if found is None:
                return None
            path = f"{path}/{found}" if path else found
        return path

    def _stands(self, name: str) -> bool:
        """Whether the name is taken as it is written; asking an object store costs a request."""
        try:
            if self._local:
                return os.path.lexists(os.path.join(self.root, name))
            return plain_path(name) == name and (name.isascii() or exists(join(self.root, name)))
        except (OSError, ValueError):
            return False

    def _list(self, folder: str) -> SpellingIndex:
        place = join(self.root, folder) if folder else self.root
        try:
            return SpellingIndex(os.listdir(place) if self._local else entries_in(place))
        except Exception:  # object stores raise their clients' own errors; then nothing is there
            return SpellingIndex(())
