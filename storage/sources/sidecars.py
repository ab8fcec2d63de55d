"""Files beside a photo that hold its caption: ``a.txt``, ``a.caption``, ``a.jpg.txt``, ``a.json``.

Text speaks before JSON, and the photo's stem (``a``) before its whole name (``a.jpg``).
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from storage.sources.base import IMAGE_SUFFIXES, ReadFailure
from storage.sources.captions import (
    MAX_CAPTION_BYTES,
    TEXT_SUFFIXES,
    decode_text,
)
from storage.sources.columns import describe_fields
from storage.sources.files import read_photo
from storage.sources.listing import Entry
from storage.sources.names import folded_path
from storage.sources.rows import BrokenRow, parse_object

FIELDS_SUFFIX = ".json"
_SUFFIXES = frozenset({*TEXT_SUFFIXES, FIELDS_SUFFIX})


@dataclass(slots=True, kw_only=True)
class Described:
    """What is known of a photo beside its bytes; what is found later speaks first."""

    caption: str | None = None
    caption_from: str = ""
    attributes: dict[str, object] = field(default_factory=dict[str, object])

    @property
    def is_said(self) -> bool:
        """Whether there is a caption that is more than blanks."""
        return bool(self.caption and self.caption.strip())

    def say(self, caption: str | None, where: str) -> None:
        """Take a caption; a blank one only where there is no other."""
        if caption is not None and (caption.strip() or not self.is_said):
            self.caption, self.caption_from = caption, where


def is_sidecar_name(name: str) -> bool:
    """Whether a file's name ends like a caption file's, in any case."""
    return os.path.splitext(name)[1].lower() in _SUFFIXES


class Sidecars:
    """The photos of one folder by name, and the caption files that stand beside them."""

    def __init__(self, root: str, entries: Sequence[Entry], *, follow_links: bool = False) -> None:
        self._root = root
        self._follow = follow_links
        self.photos: set[str] = set()
        self.folders: list[str] = []
        self._by_stem: dict[str, dict[str, str]] = {}  # stem or whole name -> suffix -> path
        self.stems: set[str] = set()  # of the photos
        for entry in entries:
            stem, suffix = os.path.splitext(entry.name)
            suffix = suffix.lower()
            if entry.is_directory:
                self.folders.append(entry.name)
            elif suffix in IMAGE_SUFFIXES:
                self.photos.add(entry.name)
                self.stems.add(stem)
            elif suffix in _SUFFIXES:
                self._by_stem.setdefault(stem, {}).setdefault(suffix, entry.path)
        self._folded = self._by_folded_stem() if self._by_stem else {}

    def _by_folded_stem(self) -> dict[str, dict[str, str]]:
        """Caption files of photos that another system spells differently (``A.JPG``, ``a.txt``)."""
        alone = self._by_stem.keys() - self.stems - self.photos
        return {folded_path(stem): self._by_stem[stem] for stem in sorted(alone)}

    def of(self, name: str) -> dict[str, str]:
        """Path by kind: ``.txt``, ``.json`` for the stem's, ``.jpg.txt`` for the whole name's."""
        stem, ending = os.path.splitext(name)
        found = self._matching(stem)
        whole = self._matching(name)
        if not whole:
            return found
        ending = ending.lower()
        return found | {f"{ending}{suffix}": path for suffix, path in whole.items()}

    def _matching(self, stem: str) -> dict[str, str]:
        found = self._by_stem.get(stem)
        if found is None and self._folded:
            found = self._folded.get(folded_path(stem))
        return found or {}

    def describe(self, found: dict[str, str], described: Described) -> None:
        """Add what a photo's caption files say; text is read until one of them is not blank.

        JSON beside the whole name is some downloader's own record: it is asked for a caption only
        where nothing else has one.
        """
        spoken, written = Described(), Described()
        for kind in _kinds(found, TEXT_SUFFIXES):
            if not spoken.is_said:
                self._read_text(kind, found[kind], spoken)
        for kind in _kinds(found, (FIELDS_SUFFIX,)):
            if kind == FIELDS_SUFFIX or not (spoken.is_said or written.is_said):
                self._read_fields(kind, found[kind], written)
        for each in (written, spoken):
            described.attributes |= each.attributes
            described.say(each.caption, each.caption_from)

    def _read_text(self, kind: str, path: str, described: Described) -> None:
        data = read_photo(self._root, path, follow_links=self._follow)
        if isinstance(data, ReadFailure):
            described.attributes["caption_error"] = f"{path}: {data.detail}"
        else:
            described.say(decode_text(data[:MAX_CAPTION_BYTES]).strip(), kind)

    def _read_fields(self, kind: str, path: str, described: Described) -> None:
        data = read_photo(self._root, path, follow_links=self._follow)
        if isinstance(data, ReadFailure):
            fields = BrokenRow(data.detail)
        elif len(data) > MAX_CAPTION_BYTES:
            fields = BrokenRow(f"{len(data)} bytes, more than {MAX_CAPTION_BYTES}")
        else:
            fields = parse_object(data)
        if isinstance(fields, BrokenRow):
            described.attributes["caption_error"] = f"{path}: {fields.detail}"
            return
        caption, rest, name = describe_fields(fields)
        described.attributes |= rest
        if caption is not None:
            described.say(caption, f"{kind}: {name}")


def _kinds(found: dict[str, str], suffixes: Sequence[str]) -> list[str]:
    """The kinds that end in one of some suffixes: of the stem first, in the suffixes' order."""
    kinds = [suffix for suffix in suffixes if suffix in found]
    if len(kinds) == len(found):
        return kinds
    whole = [kind for kind in found if kind.count(".") > 1]
    return kinds + [kind for suffix in suffixes for kind in whole if kind.endswith(suffix)]
