"""COCO captions and other annotation files in JSON, with the photos beside them.

Captions are annotations, as COCO has them, or the images' own ``description``, as Human-Art does;
``storage.sources.annotations`` has the further shapes.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from storage.canonical import encode_path
from storage.content_tags import TagCache
from storage.errors import SourceError
from storage.locations import is_directory
from storage.records import SourceRecord
from storage.sources.annotation_files import ANNOTATIONS, find_annotations, find_captions
from storage.sources.annotation_shapes import NamedPhoto
from storage.sources.annotations import LIST_SUFFIXES, read_annotations
from storage.sources.base import Contents, LeftOut, LeftOutSink, make_record
from storage.sources.files import read_photos, tag_cache, tag_file
from storage.sources.photo_places import PhotoPlaces, root_above


@dataclass(frozen=True, slots=True, kw_only=True)
class CocoSource:
    """One record per image of the captions files, in order of the path's bytes."""

    root: str  # where the photos' paths start
    captions: tuple[str, ...]  # the captions files
    images: str | None = None  # given by the user: the photos lie directly in it
    home: str = ""  # the dataset's folder below the root, where names start above it
    follow_links: bool = False  # also those that lead out of the root

    format: Literal["coco"] = "coco"
    unlisted: tuple[str, ...] = ()  # always: no folders are walked

    def records(
        self, *, left_out: LeftOutSink | None = None, tags: bool = True
    ) -> Iterator[SourceRecord]:
        """One record per image; its first caption is the caption, the others are attributes.

        Raises:
            SourceError: a captions file is not COCO captions, or lists no image; no photo's place
                can be found.
        """
        photos: dict[str, NamedPhoto] = {}
        for uri in self.captions:
            on_broken = partial(_leave_row, left_out, encode_path(self._below(uri)))
            named = read_annotations(uri, on_broken=on_broken)
            places = self._places(uri, next(iter(named), ""))
            for name, photo in named.items():
                photos.setdefault(places.find(name), NamedPhoto()).add(photo)
            if named and not places.any_found:
                raise SourceError(
                    f"photos of {uri} not found, such as {next(iter(named))!r}: expected them "
                    f"beside it or in one of the folders {', '.join(places.folders)} in "
                    f"{self.root}, or the option --images (or --format folder: photos alone)"
                )
        if not photos:
            raise SourceError(
                f"{', '.join(self.captions)}: expected COCO captions or another list of photos, "
                "got an empty list"
            )
        with tag_cache(tags=tags) as cache:
            for path in sorted(photos, key=os.fsencode):
                yield self._record(path, photos[path], cache)

    def read(self, records: Sequence[SourceRecord]) -> Contents:
        """The photos' bytes, in the order given."""
        return read_photos(self.root, records, follow_links=self.follow_links)

    def _record(self, path: str, photo: NamedPhoto, cache: TagCache | None) -> SourceRecord:
        attributes = dict(photo.attributes)
        if photo.ids:
            attributes["coco_image_id"] = photo.ids[0]
        if photo.texts[1:]:
            attributes["other_captions"] = photo.texts[1:]
        return make_record(
            encode_path(path),
            caption=photo.texts[0] if photo.texts else None,
            attributes=attributes,
            content_tag=tag_file(self.root, path, cache=cache, follow_links=self.follow_links),
            caption_from=photo.caption_from,
        )

    def _places(self, uri: str, first: str) -> PhotoPlaces:
        if self.images is not None:
            return PhotoPlaces(self.root, first=None)
        return PhotoPlaces(self.root, home=self.home, captions_uri=uri, first=first)

    def _below(self, uri: str) -> str:
        """A captions file's path below the root; its name where it lies elsewhere."""
        inside = uri.startswith(f"{self.root.rstrip('/')}/")
        return uri[len(self.root.rstrip("/")) + 1 :] if inside else uri.rpartition("/")[2]


def coco_source(uri: str, *, images: str | None, follow_links: bool = False) -> CocoSource:
    """The source for a captions json, or for a folder that holds some.

    Raises:
        SourceError: the folder holds no captions file.
    """
    if uri.lower().endswith(LIST_SUFFIXES) and not is_directory(uri):
        captions, folder = (uri,), uri.rsplit("/", 1)[0]
        if folder.rsplit("/", 1)[-1] == ANNOTATIONS:
            folder = folder.rsplit("/", 1)[0]
    else:
        captions, folder = find_captions(uri) or find_annotations(uri), uri
    if not captions:
        raise SourceError(
            f"no COCO captions in {uri}: expected captions*.json or annotations/captions*.json, or "
            "json of another name there that names photos and has their captions"
        )
    root, home = (images, "") if images is not None else root_above(folder, captions)
    return CocoSource(
        root=root, captions=captions, images=images, home=home, follow_links=follow_links
    )


def _leave_row(left_out: LeftOutSink | None, uri: str, number: int, detail: str) -> None:
    if left_out is not None:
        left_out(LeftOut(uri=f"{uri}?row={number}", reason="broken_row", detail=detail))
