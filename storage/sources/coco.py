"""COCO captions: one or more ``captions*.json`` with the photos beside them.

Captions are annotations, as COCO has them, or the images' own ``description``, as Human-Art does.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from storage.canonical import encode_path, valid_text
from storage.content_tags import TagCache
from storage.errors import SourceError
from storage.locations import is_directory, join, read_bytes
from storage.records import SourceRecord
from storage.sources.base import Contents, LeftOutSink, make_record
from storage.sources.files import read_photos, tag_cache, tag_file
from storage.sources.listing import names_of

_ANNOTATIONS = "annotations"


@dataclass(frozen=True, slots=True, kw_only=True)
class CocoSource:
    """One record per image of the captions files, in order of the path's bytes."""

    root: str  # where the photos' paths start
    captions: tuple[str, ...]  # the captions files
    images: str | None = None  # given by the user: the photos lie directly in it

    format: Literal["coco"] = "coco"
    unlisted: tuple[str, ...] = ()  # always: no folders are walked

    def records(
        self, *, left_out: LeftOutSink | None = None, tags: bool = True
    ) -> Iterator[SourceRecord]:
        """One record per image; its first caption is the caption, the others are attributes.

        Raises:
            SourceError: a captions file is not COCO captions, or lists no image.
        """
        photos: dict[str, dict[str, Any]] = {}
        for uri in self.captions:
            images = _read_captions(uri)
            above, folder = self._photo_folder(uri, next(iter(images), ""))
            for name, image in images.items():
                path = folder + name.removeprefix(above)
                known = photos.setdefault(path, {"ids": [], "texts": []})
                known["ids"] += image["ids"]
                known["texts"] += image["texts"]
        if not photos:
            raise SourceError(f"{', '.join(self.captions)}: expected images, the list is empty")
        with tag_cache(tags=tags) as cache:
            for path in sorted(photos, key=os.fsencode):
                yield self._record(path, photos[path], cache)

    def read(self, records: Sequence[SourceRecord]) -> Contents:
        """The photos' bytes, in the order given."""
        return read_photos(self.root, records)

    def _record(self, path: str, image: Mapping[str, Any], cache: TagCache | None) -> SourceRecord:
        texts = image["texts"]
        attributes: dict[str, object] = {"coco_image_id": image["ids"][0]}
        if texts[1:]:
            attributes["other_captions"] = texts[1:]
        return make_record(
            encode_path(path),
            caption=texts[0] if texts else None,
            attributes=attributes,
            content_tag=tag_file(self.root, path, cache=cache),
        )

    def _photo_folder(self, captions_uri: str, name: str) -> tuple[str, str]:
        """Where a file's photos lie, by the name of one: what to cut off, what to put before it.

        Names without a folder: photos/, images/ or the split's below ``root``. Human-Art's names
        start at its root, or at the folder above.
        """
        if self.images is not None:
            return "", ""
        top = name.split("/", 1)[0] if "/" in name else ""
        if top == self.root.rsplit("/", 1)[-1]:
            return f"{top}/", ""
        if top not in ("", ".", "..") and is_directory(join(self.root, top)):
            return "", ""
        split = re.fullmatch(r"captions_?(.*)\.json", captions_uri.rsplit("/", 1)[-1])
        split_name = split[1] if split else ""
        names = [split_name, f"images/{split_name}"] if split_name else []
        names += ["photos", "images"]
        for folder in names:
            if is_directory(join(self.root, folder)):
                return "", f"{folder}/"
        raise SourceError(
            f"photos of {captions_uri} not found: expected one of the folders "
            f"{', '.join(names)} in {self.root}, or the option --images"
        )


def find_captions(folder: str) -> tuple[str, ...]:
    """The COCO captions files of a folder: in it, else in its ``annotations/``."""
    for place in (folder, join(folder, _ANNOTATIONS)):
        names = [name for name in names_of(place) if re.fullmatch(r"captions.*\.json", name)]
        if names:
            return tuple(join(place, name) for name in names)
    return ()


def coco_source(uri: str, *, images: str | None) -> CocoSource:
    """The source for a captions json, or for a folder that holds some.

    Raises:
        SourceError: the folder holds no captions file.
    """
    if uri.lower().endswith(".json"):
        captions, folder = (uri,), uri.rsplit("/", 1)[0]
        if folder.rsplit("/", 1)[-1] == _ANNOTATIONS:
            folder = folder.rsplit("/", 1)[0]
    else:
        captions, folder = find_captions(uri), uri
    if not captions:
        raise SourceError(
            f"no COCO captions in {uri}: expected captions*.json or annotations/captions*.json"
        )
    return CocoSource(root=images or folder, captions=captions, images=images)


def _read_captions(uri: str) -> dict[str, dict[str, Any]]:
    # File name -> ids and texts of an image, in the file's order.
    try:
        data = json.loads(read_bytes(uri).decode("utf-8-sig"))
        by_id: dict[Any, list[str]] = {}
        for annotation in data["annotations"]:
            if "keypoints" in annotation:  # Human-Art's annotations; its images have the text
                continue
            by_id.setdefault(annotation["image_id"], []).append(_text(annotation, "caption"))
        photos: dict[str, dict[str, Any]] = {}
        for image in data["images"]:
            name = valid_text(str(image["file_name"]))
            photo = photos.setdefault(name, {"ids": [], "texts": []})
            photo["ids"].append(image["id"])
            photo["texts"] += by_id.get(image["id"], [])
            if image.get("description") is not None:
                photo["texts"].append(_text(image, "description"))
        if photos and not any(photo["texts"] for photo in photos.values()):
            raise ValueError("no image has a caption or a description")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise SourceError(
            f"{uri}: not a COCO captions file (objects 'images' with id, file_name and "
            f"'annotations' with image_id, caption; or images with a description): "
            f"{type(error).__name__}: {error}"
        ) from error
    return photos


def _text(item: Mapping[str, object], field: str) -> str:
    text = item[field]
    if not isinstance(text, str):
        raise TypeError(f"{field} of image {item.get('image_id', item.get('id'))} is not text")
    return text
