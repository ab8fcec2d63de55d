"""WebDataset tars, as img2dataset and others write them: members of one stem are one sample."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from storage.canonical import decode_path, encode_path
from storage.content_tags import TagCache, file_stamp, hash_tag
from storage.errors import SourceError
from storage.locations import filesystem, is_directory, is_local, join, local_path
from storage.records import SourceRecord
from storage.sources.base import (
    MAX_IMAGE_BYTES,
    UNTAGGED,
    Contents,
    LeftOut,
    LeftOutSink,
    ReadFailure,
    make_record,
    without_root,
)
from storage.sources.containers import containers_below, is_tar_name
from storage.sources.files import checked, tag_cache
from storage.sources.presence import check_present
from storage.sources.rows import open_binary
from storage.sources.tar_members import (
    TAR_ERRORS,
    TarIndex,
    TarScan,
    content,
    describe,
    open_tar,
)
from storage.sources.tar_samples import TarSample


@dataclass(frozen=True, slots=True, kw_only=True)
class TarSource:
    """One record per sample of the tars; the unreadable rest of a tar is one record, too."""

    root: str
    tars: tuple[str, ...]  # names below the root, in order
    follow_links: bool = False  # out of the root

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
                for record in self._tar_records(name, cache, left_out):
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

    def _tar_records(
        self, name: str, cache: TagCache | None, left_out: LeftOutSink | None
    ) -> Iterator[SourceRecord]:
        path = join(self.root, name)
        encoded = encode_path(name)
        error: Exception | None = None
        try:
            with open_binary(path) as file, open_tar(file) as tar:
                scan = TarScan(tar)
                samples = scan.samples()
                stamp = _Stamp(path, cache)
                for sample in samples:
                    yield self._record(encoded, scan, sample, stamp)
                error = scan.error
            if left_out is not None:
                for member, reason in scan.left_out(samples):
                    left_out(LeftOut(uri=f"{encoded}#{member}", reason=reason))
                if not (samples or error or scan.names):
                    left_out(LeftOut(uri=encoded, reason="empty"))
        except TAR_ERRORS as fault:
            error = fault
        if error is not None:
            tag = f"broken:{type(error).__name__}"
            yield make_record(f"{encoded}#", caption=None, attributes={}, content_tag=tag)

    def _record(
        self, tar_name: str, scan: TarScan, sample: TarSample, stamp: "_Stamp"
    ) -> SourceRecord:
        fragment = scan.fragment(sample)
        described = describe(scan, sample)
        return make_record(
            f"{tar_name}#{fragment}",
            caption=described.caption,
            attributes=described.attributes,
            content_tag=stamp.tag(scan, sample.photo, fragment),
            caption_from=described.caption_from,
        )

    def _read_tar(self, tar_name: str, records: Sequence[SourceRecord]) -> Contents:
        path = join(self.root, decode_path(tar_name))
        done = 0
        detail = "the tar cannot be read to its end"
        try:
            with open_binary(path) as file, open_tar(file) as tar:
                index = TarIndex(tar)
                for record in records:
                    data = self._read_member(index, record)
                    done += 1
                    yield record, checked(record, data)
        except Exception as error:  # object stores raise their clients' own errors
            check_present(self.root, error)
            detail = f"{tar_name}: {without_root(error, self.root)}"
        for record in records[done:]:
            yield record, ReadFailure(detail)

    def _read_member(self, index: TarIndex, record: SourceRecord) -> bytes | ReadFailure:
        """A member's bytes; one that cannot be read does not cost those before the break."""
        tar_name, _, member = record.uri.partition("#")
        try:
            return index.read(member)
        except Exception as error:  # as above
            check_present(self.root, error)
            return ReadFailure(f"{tar_name}: {without_root(error, self.root)}")


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

    def tag(self, scan: TarScan, photo: int | None, member: str) -> str:
        if self._cache is None:
            return UNTAGGED
        if photo is None:
            return "no image"
        if self._etag is not None:
            return f"etag:{self._etag}"
        name = f"{self._path}#{member}"
        if self._status is not None:
            known = self._cache.lookup(name, file_stamp(self._status))
            if known is not None:
                return known
        image = scan.target(photo)
        if image is None:
            return "dead link"
        if image.size > MAX_IMAGE_BYTES:
            return f"size:{image.size}"
        tag = hash_tag(content(scan.tar, image))
        if self._status is not None:
            self._cache.remember(name, self._status, tag)
        return tag


def tar_source(uri: str, *, follow_links: bool = False) -> TarSource:
    """The source for one tar, or for a folder with some in it or in its subfolders.

    ``follow_links`` looks into folders that are links, too.

    Raises:
        SourceError: the folder holds no tar.
    """
    if not is_directory(uri):
        root, _, name = uri.rpartition("/")
        return TarSource(root=root or "/", tars=(name,), follow_links=follow_links)
    tars = containers_below(uri, is_tar_name, follow_links=follow_links)
    if not tars:
        raise SourceError(
            f"no tars in {uri}: expected WebDataset shards such as 00000.tar (subfolders too)"
        )
    return TarSource(root=uri, tars=tars, follow_links=follow_links)
