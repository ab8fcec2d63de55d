"""WebDataset tars, as img2dataset writes them: members of one stem are one sample."""

import os
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, BinaryIO, Literal

from storage.canonical import decode_path, encode_path
from storage.content_tags import TagCache, file_stamp, hash_tag
from storage.errors import SourceError
from storage.locations import filesystem, is_directory, is_local, join, local_path
from storage.records import SourceRecord
from storage.sources.base import (
    MAX_IMAGE_BYTES,
    UNTAGGED,
    Contents,
    LeftOutSink,
    ReadFailure,
    has_image_suffix,
    make_record,
    without_root,
)
from storage.sources.captions import split_caption
from storage.sources.files import OCCURRENCE_MARK, checked, tag_cache, too_many_bytes
from storage.sources.listing import names_of
from storage.sources.rows import BrokenRow, open_binary, parse_object

_MAX_TEXT_BYTES = 2**20


@dataclass(slots=True)
class _Group:
    """The members of one sample, in the order they stand in the tar."""

    stem: str
    members: list[tarfile.TarInfo] = field(default_factory=list[tarfile.TarInfo])

    def by_extension(self) -> dict[str, tarfile.TarInfo]:
        return {member.name[len(self.stem) + 1 :].lower(): member for member in self.members}

    def image(self) -> tarfile.TarInfo | None:
        for extension, member in self.by_extension().items():
            if has_image_suffix(f"x.{extension}") and "." not in extension:
                return member
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class TarSource:
    """One record per sample of the tars; the unreadable rest of a tar is one record, too."""

    root: str
    tars: tuple[str, ...]  # names below the root, in order

    format: Literal["webdataset"] = "webdataset"
    unlisted: tuple[str, ...] = ()  # always: no folders are walked

    def records(
        self, *, left_out: LeftOutSink | None = None, tags: bool = True
    ) -> Iterator[SourceRecord]:
        """Records in tar order.

        Raises:
            SourceError: the tars hold no sample at all.
        """
        empty = True
        with tag_cache(tags=tags) as cache:
            for name in self.tars:
                for record in self._tar_records(name, cache):
                    empty = False
                    yield record
        if empty:
            raise SourceError(
                f"no samples in {len(self.tars)} tars of {self.root}: expected members such as "
                "000000001.jpg, 000000001.txt, 000000001.json"
            )

    def read(self, records: Sequence[SourceRecord]) -> Contents:
        """The photos' bytes, in the order given; each tar is opened once per run of records."""
        for tar, run in groupby(records, key=lambda record: record.uri.partition("#")[0]):
            yield from self._read_tar(tar, list(run))

    def _tar_records(self, name: str, cache: TagCache | None) -> Iterator[SourceRecord]:
        encoded = encode_path(name)
        path = join(self.root, name)
        seen: dict[str, int] = {}
        try:
            with open_binary(path) as file, _open_tar(file) as tar:
                stamp = _Stamp(path, cache)
                for group in _groups(tar):
                    image = group.image()
                    member = encode_path(image.name if image else group.stem)
                    seen[member] = seen.get(member, 0) + 1
                    mark = f"{OCCURRENCE_MARK}{seen[member]}" if seen[member] > 1 else ""
                    caption, attributes = _describe(tar, group)
                    yield make_record(
                        f"{encoded}#{member}{mark}",
                        caption=caption,
                        attributes=attributes,
                        content_tag=stamp.tag(tar, image, f"{member}{mark}"),
                    )
                _check_end(tar)
        except (tarfile.TarError, OSError, EOFError, SourceError) as error:
            tag = f"broken:{type(error).__name__}"
            yield make_record(f"{encoded}#", caption=None, attributes={}, content_tag=tag)

    def _read_tar(self, tar_name: str, records: Sequence[SourceRecord]) -> Contents:
        path = join(self.root, decode_path(tar_name))
        done = 0
        detail = "the tar cannot be read to its end"
        try:
            with open_binary(path) as file, _open_tar(file) as tar:
                index = _Index(tar)
                for record in records:
                    data = index.read(record.uri.partition("#")[2])
                    done += 1
                    yield record, checked(record, data)
        except (tarfile.TarError, OSError, EOFError, SourceError) as error:
            detail = f"{tar_name}: {without_root(error, self.root)}"
        for record in records[done:]:
            yield record, ReadFailure(detail)


class _Stamp:
    """Content tags of members: hashes, remembered by the tar's own stamp; ETag on stores."""

    def __init__(self, path: str, cache: TagCache | None) -> None:
        self._path = path
        self._cache = cache
        self._etag: str | None = None
        self._status = os.stat(local_path(path)) if is_local(path) else None
        if self._status is None:
            fs, inner = filesystem(path)
            info = fs.info(inner)
            self._etag = next((str(info[f]) for f in ("ETag", "etag") if info.get(f)), None)

    def tag(self, tar: tarfile.TarFile, image: tarfile.TarInfo | None, member: str) -> str:
        if self._cache is None:
            return UNTAGGED
        if image is None:
            return "no image"
        if self._etag is not None:
            return f"etag:{self._etag}"
        name = f"{self._path}#{member}"
        if self._status is not None:
            known = self._cache.lookup(name, file_stamp(self._status))
            if known is not None:
                return known
        if image.size > MAX_IMAGE_BYTES:
            return f"size:{image.size}"
        tag = hash_tag(_content(tar, image))
        if self._status is not None:
            self._cache.remember(name, self._status, tag)
        return tag


class _Index:
    """Finds members by name, reading headers only as far as needed."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self._members = iter(tar)
        self._found: dict[str, list[tarfile.TarInfo]] = {}

    def read(self, fragment: str) -> bytes | ReadFailure:
        if not fragment:
            return ReadFailure("the rest of this tar cannot be read: truncated or not a tar")
        encoded, _, occurrence = fragment.partition(OCCURRENCE_MARK)
        wanted, position = decode_path(encoded), int(occurrence or 1)
        while len(self._found.get(wanted, [])) < position:
            member = next(self._members, None)
            if member is None:
                return ReadFailure(f"no image member {wanted!r} in the tar")
            if member.isfile():
                self._found.setdefault(member.name, []).append(member)
        member = self._found[wanted][position - 1]
        return too_many_bytes(member.size) or _content(self._tar, member)


def tar_source(uri: str) -> TarSource:
    """The source for one tar, or for a folder that holds some.

    Raises:
        SourceError: the folder holds no tar.
    """
    if uri.lower().endswith(".tar"):
        root, _, name = uri.rpartition("/")
        return TarSource(root=root or "/", tars=(name,))
    tars = tuple(name for name in names_of(uri) if is_tar_name(name)) if is_directory(uri) else ()
    if not tars:
        raise SourceError(f"no tars in {uri}: expected WebDataset shards such as 00000.tar")
    return TarSource(root=uri, tars=tars)


def is_tar_name(name: str) -> bool:
    """Whether a visible file name ends like a tar."""
    return name.lower().endswith(".tar") and not name.startswith(".")


def _open_tar(file: BinaryIO) -> tarfile.TarFile:
    return tarfile.open(fileobj=file, mode="r:", errors="surrogateescape")


def _groups(tar: tarfile.TarFile) -> Iterator[_Group]:
    """Consecutive members of one stem (the path up to the first dot of its last part)."""
    group: _Group | None = None
    for member in tar:
        base = member.name.rpartition("/")[2]
        if not member.isfile() or base.startswith(".") or "." not in base:
            continue
        stem = member.name.removesuffix(base) + base.split(".")[0]
        if group is None or group.stem != stem:
            if group is not None:
                yield group
            group = _Group(stem)
        group.members.append(member)
    if group is not None:
        yield group


def _check_end(tar: tarfile.TarFile) -> None:
    # tarfile takes a missing end mark for the end: a cut-off download would pass as complete.
    file: Any = tar.fileobj
    file.seek(tar.offset)
    if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError("no end mark where the last member ends")


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    data = b"" if file is None else file.read()
    if len(data) != member.size:
        raise tarfile.ReadError(f"{member.name}: {len(data)} of {member.size} bytes")
    return data


def _describe(tar: tarfile.TarFile, group: _Group) -> tuple[str | None, dict[str, object]]:
    caption: str | None = None
    attributes: dict[str, object] = {}
    members = group.by_extension()
    sidecar = members.get("json")
    if sidecar is not None and sidecar.size <= _MAX_TEXT_BYTES:
        fields = parse_object(_content(tar, sidecar))
        if isinstance(fields, BrokenRow):
            attributes["caption_error"] = f"{sidecar.name}: {fields.detail}"
        else:
            caption, attributes = split_caption(fields)
    text = members.get("txt")
    if text is not None and text.size <= _MAX_TEXT_BYTES:
        caption = _content(tar, text).decode("utf-8-sig", errors="replace").strip()
    return caption, attributes
