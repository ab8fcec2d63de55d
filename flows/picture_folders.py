"""Pairs of pictures from two folders: those of equal names belong together."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

from storage.errors import HcpError

if TYPE_CHECKING:
    from hcp.pages.pair_pictures import Image8
    from hcp.pages.votes import PicturePair

NUMBERED = re.compile(r"(\d+)-seed\d+$")  # as `hcp generate --prompts` names its pictures
NO_PICTURES = re.compile(r"\.maps$|^grid$")  # what it puts beside them
SHOWN = 3  # names in a message


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureFolders:
    """Two folders and what is known of their pictures; names are paths without their suffixes."""

    a: Mapping[str, Path]
    b: Mapping[str, Path]
    prompts: Mapping[str, str]  # of the names in both
    unreadable: list[str] = field(default_factory=list[str])  # filled while pairs are read

    @classmethod
    def of(cls, a: Path, b: Path, *, prompts: Sequence[str] = ()) -> "PictureFolders":
        """List both folders.

        A picture's prompt is the text file of its name in either folder; else, where it is named
        as ``hcp generate`` does (``001-seed0``), the line of that number in ``prompts``.

        Raises:
            HcpError: a folder has no pictures, or no name is in both.
        """
        ours, theirs = _pictures(a, "a_pictures"), _pictures(b, "b_pictures")
        common = sorted(ours.keys() & theirs.keys())
        if not common:
            raise HcpError(
                f"no pictures of equal names: {a} has {_some(list(ours))}, {b} has "
                f"{_some(list(theirs))}; expected the same names (suffixes aside) in both"
            )
        named = {name: _prompt(name, (ours[name], theirs[name]), prompts) for name in common}
        return cls(a=ours, b=theirs, prompts=named)

    def pairs(self) -> "Iterator[PicturePair]":
        """One pair of each prompt, then the second of each, and so on; read as they are asked for.

        A picture that cannot be read is left out and noted.
        """
        from hcp.pages.votes import PicturePair

        by_prompt: defaultdict[str, list[str]] = defaultdict(list)
        for name, prompt in self.prompts.items():
            by_prompt[prompt].append(name)
        for names in zip_longest(*by_prompt.values()):
            for name in filter(None, names):
                a, b = self._read(self.a[name]), self._read(self.b[name])
                if a is not None and b is not None:
                    yield PicturePair(prompt=self.prompts[name], name=name, a=a, b=b)

    def notes(self) -> list[str]:
        """What was left out, for whoever gave the folders."""
        notes: list[str] = []
        for letter, own, other in (("a", self.a, self.b), ("b", self.b, self.a)):
            if alone := sorted(own.keys() - other.keys()):
                notes.append(f"{len(alone)} pictures are in {letter} alone: {_some(alone)}")
        if self.unreadable:
            n = len(self.unreadable)
            notes.append(f"{n} pictures cannot be read: {_some(self.unreadable)}")
        return notes

    def _read(self, path: Path) -> "Image8 | None":
        import numpy as np

        from storage.pictures import open_picture, upright_rgb

        try:
            return np.asarray(upright_rgb(open_picture(path.read_bytes())))
        except (OSError, ValueError, SyntaxError) as error:
            self.unreadable.append(f"{path} ({error})")
            return None


def _pictures(folder: Path, option: str) -> dict[str, Path]:
    from storage.sources import IMAGE_SUFFIXES

    if not folder.is_dir():
        raise HcpError(f"{option}: expected a folder of pictures, got {folder}")
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in IMAGE_SUFFIXES or NO_PICTURES.search(path.stem):
            continue
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in found:
            raise HcpError(
                f"{option}: {found[name]} and {path} have one name; expected one picture of each"
            )
        found[name] = path
    if not found:
        raise HcpError(
            f"{option}: no picture in {folder}; expected files ending in "
            f"{', '.join(sorted(IMAGE_SUFFIXES))}"
        )
    return found


def _prompt(name: str, paths: tuple[Path, Path], prompts: Sequence[str]) -> str:
    for path in paths:
        beside = path.with_suffix(".txt")
        if beside.is_file():
            return " ".join(beside.read_text("utf-8", errors="replace").split())
    number = NUMBERED.search(name)
    return prompts[int(number[1]) - 1] if number and 0 < int(number[1]) <= len(prompts) else ""


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
