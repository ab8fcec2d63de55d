"""One open tar: its members, what they say about each sample, and the bytes of one of them."""

import lzma
import posixpath
import tarfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from storage.canonical import decode_path, encode_path
from storage.errors import SourceError
from storage.sources.base import CAPTION_FILE, ReadFailure
from storage.sources.captions import MAX_CAPTION_BYTES, decode_text, has_words
from storage.sources.columns import describe_fields
from storage.sources.files import OCCURRENCE_MARK, too_many_bytes
from storage.sources.rows import BrokenRow, parse_object
from storage.sources.tar_samples import TarSample, group_members, is_member_name, is_sidecar_name

TAR_ERRORS = (tarfile.TarError, OSError, EOFError, SourceError, zlib.error, lzma.LZMAError)
_MAX_LINKS = 16


def open_tar(file: BinaryIO) -> tarfile.TarFile:
    """The tar in a file, without compression; names that are no UTF-8 keep their bytes."""
    return tarfile.open(fileobj=file, mode="r:", errors="surrogateescape")


def content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    """The bytes of a member that is a file.

    Raises:
        tarfile.ReadError: the tar ends before the member does.
    """
    file = tar.extractfile(member)
    data = b"" if file is None else file.read()
    if len(data) != member.size:
        raise tarfile.ReadError(f"{member.name}: {len(data)} of {member.size} bytes")
    return data


class TarScan:
    """The members of a tar, read once from its beginning to its end, texts included.

    A tar that breaks off gives the members before the break; ``error`` says what is wrong.
    """

    def __init__(self, tar: tarfile.TarFile) -> None:
        self.tar = tar
        self.names: list[str] = []
        self.error: Exception | None = None
        self._infos: list[tarfile.TarInfo] = []
        self._occurrence: list[int] = []
        self._texts: dict[int, bytes] = {}
        self._by_name: dict[str, tarfile.TarInfo] | None = None  # asked for by links alone
        try:
            self._read()
            _check_end(tar)
        except TAR_ERRORS as error:
            self.error = error
        self._ended = self.error is None or isinstance(self.error, _NoEndMark)

    def _read(self) -> None:
        seen: dict[str, int] = {}
        for info in self.tar:
            if info.isdir():
                continue
            seen[info.name] = seen.get(info.name, 0) + 1
            self.names.append(info.name)
            self._infos.append(info)
            self._occurrence.append(seen[info.name])
            if info.isfile() and is_sidecar_name(info.name) and info.size <= MAX_CAPTION_BYTES:
                # Now, while the tar is read in order: stores are asked for each byte once.
                self._texts[len(self.names) - 1] = content(self.tar, info)

    def samples(self) -> list[TarSample]:
        """The samples; without the one that holds the last member where the tar breaks off."""
        usable = [
            name if info.isfile() or info.islnk() or info.issym() else ""
            for name, info in zip(self.names, self._infos, strict=True)
        ]
        found = group_members(usable)
        last = len(self.names) - 1
        return found if self._ended else [s for s in found if last not in s.members]

    def fragment(self, sample: TarSample) -> str:
        """The part of a record's URI that names the sample in its tar."""
        if sample.photo is not None:
            return self._mark(sample.photo)
        place = sample.members[0]
        n = self._occurrence[place]
        return encode_path(sample.name) + (f"{OCCURRENCE_MARK}{n}" if n > 1 else "")

    def text(self, place: int) -> bytes | None:
        """The content of a caption member; None of one that is too long, or a dead link."""
        if place not in self._texts:
            info = self.target(place)
            if info is None or info.size > MAX_CAPTION_BYTES:
                return None
            self._texts[place] = content(self.tar, info)
        return self._texts[place]

    def target(self, place: int) -> tarfile.TarInfo | None:
        """The file that a member is, or that it links to in this tar."""
        info = self._infos[place]
        return info if info.isfile() else _followed(info, self._first_of)

    def _first_of(self, name: str) -> tarfile.TarInfo | None:
        if self._by_name is None:
            self._by_name = dict(zip(self.names[::-1], self._infos[::-1], strict=True))
        return self._by_name.get(name)

    def left_out(self, samples: Sequence[TarSample]) -> Iterator[tuple[str, str]]:
        """The members that are no photo of a sample, and why, by the parts of their URIs."""
        reasons = {place: "other_member" for sample in samples for place in sample.others}
        reasons |= {place: CAPTION_FILE for sample in samples for place in sample.sidecars}
        photos = {sample.photo for sample in samples}
        for place, name in enumerate(self.names):
            if place not in photos:
                yield self._mark(place), reasons.get(place) or self._why_not(place, name)

    def _why_not(self, place: int, name: str) -> str:
        info = self._infos[place]
        if not (info.isfile() or info.islnk() or info.issym()):
            return "not_a_file"
        if name.rpartition("/")[2].startswith("."):
            return "hidden"
        return "broken_end" if is_member_name(name) and not self._ended else "unknown_ending"

    def _mark(self, place: int) -> str:
        n = self._occurrence[place]
        return encode_path(self.names[place]) + (f"{OCCURRENCE_MARK}{n}" if n > 1 else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """What a sample's members say about its photo."""

    caption: str | None
    attributes: dict[str, object]
    caption_from: str = ""


def describe(scan: TarScan, sample: TarSample) -> Described:
    """The caption of the first member that has one; the fields of the first JSON."""
    found: list[tuple[str, str]] = []
    attributes: dict[str, object] | None = None
    faults: dict[str, object] = {}
    for place in sample.sidecars:
        name = scan.names[place]
        data = scan.text(place)
        if data is None:
            faults["caption_error"] = f"{name}: more than {MAX_CAPTION_BYTES} bytes, or a dead link"
        elif not name.lower().endswith(".json"):
            text = decode_text(data).strip()
            if _stands_beside(name, sample) or has_words(text):  # of captions/: boxes are none
                found.append((text, f".{name.rpartition('.')[2]}"))
        else:
            fields = parse_object(data)
            if isinstance(fields, BrokenRow):
                faults["caption_error"] = f"{name}: {fields.detail}"
                continue
            caption, rest, field = describe_fields(fields)
            attributes = rest if attributes is None else attributes
            if caption is not None:
                found.append((caption, f".json: {field}"))
    spoken = next((item for item in found if item[0].strip()), found[0] if found else (None, ""))
    return Described(
        caption=spoken[0], attributes=(attributes or {}) | faults, caption_from=spoken[1]
    )


def _stands_beside(name: str, sample: TarSample) -> bool:
    return name.rpartition("/")[0] == sample.name.rpartition("/")[0]


class TarIndex:
    """Finds members by name, reading headers only as far as needed."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self._members = iter(tar)
        self._found: dict[str, list[tarfile.TarInfo]] = {}

    def read(self, fragment: str) -> bytes | ReadFailure:
        """The bytes of the member that a record's URI names after its ``#``."""
        if not fragment:
            return ReadFailure("the rest of this tar cannot be read: truncated or not a tar")
        encoded, _, occurrence = fragment.partition(OCCURRENCE_MARK)
        wanted = decode_path(encoded)
        member = self._find(wanted, int(occurrence or 1))
        if member is None:
            return ReadFailure(f"no image member {wanted!r} in the tar")
        target = _followed(member, lambda name: self._find(name, 1))
        if target is None:
            return ReadFailure(f"{wanted!r} is a link to {member.linkname!r}, not in this tar")
        return too_many_bytes(target.size) or content(self._tar, target)

    def _find(self, name: str, occurrence: int) -> tarfile.TarInfo | None:
        while len(self._found.get(name, [])) < occurrence:
            member = next(self._members, None)
            if member is None:
                return None
            if not member.isdir():
                self._found.setdefault(member.name, []).append(member)
        return self._found[name][occurrence - 1]


class _NoEndMark(tarfile.ReadError):
    """All members are whole, but the tar's end is not there."""


def _check_end(tar: tarfile.TarFile) -> None:
    # tarfile takes a missing end mark for the end: a cut-off download would pass as complete.
    file: Any = tar.fileobj
    file.seek(tar.offset)
    if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise _NoEndMark("no end mark where the last member ends")


def _followed(
    member: tarfile.TarInfo, find: Callable[[str], tarfile.TarInfo | None]
) -> tarfile.TarInfo | None:
    """The file behind hard and symbolic links inside the tar; None where they lead nowhere."""
    found: tarfile.TarInfo | None = member
    for _ in range(_MAX_LINKS):
        if found is None or found.isfile():
            return found
        name = found.linkname
        if found.issym():
            name = posixpath.normpath(posixpath.join(posixpath.dirname(found.name), name))
        found = find(name)
    return None
