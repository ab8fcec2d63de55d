"""Annotation files in JSON: which photos they name, and with which captions.

Three shapes: COCO's (``images`` and ``annotations``; Human-Art's and Karpathy's images hold their
texts themselves), an object of one entry per photo (as LAION-Human's mapping file, kohya's
metadata), a list of objects.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from storage.canonical import valid_text
from storage.errors import SourceError
from storage.locations import read_bytes
from storage.sources.captions import caption_fields, caption_texts, decode_text
from storage.sources.names import photo_name

EXPECTED = (
    "objects 'images' with id, file_name and 'annotations' with image_id, caption; or images with "
    "a description; or one object per photo with its name (file_name, img_path, image, ...) and "
    "its caption (caption, prompt, text, ...)"
)

OnBroken = Callable[[int, str], None]
"""Takes the number of an entry that cannot be used, and why."""


@dataclass(slots=True, kw_only=True)
class NamedPhoto:
    """What annotation files say about one photo."""

    ids: list[object] = field(default_factory=list[object])  # COCO's
    texts: list[str] = field(default_factory=list[str])
    attributes: dict[str, object] = field(default_factory=dict[str, object])
    caption_from: str = ""

    def add(self, other: "NamedPhoto") -> None:
        """Take what another entry says about the same photo."""
        self.ids += other.ids
        self.texts += other.texts
        self.attributes = other.attributes | self.attributes
        self.caption_from = self.caption_from or other.caption_from


def read_annotations(uri: str, *, on_broken: OnBroken) -> dict[str, NamedPhoto]:
    """A photo's name as the file has it -> what the file says, in the file's order.

    Raises:
        SourceError: the file is none of the shapes, or has no caption at all.
    """
    try:
        data = json.loads(decode_text(read_bytes(uri)))
        photos: dict[str, NamedPhoto] = {}
        for name, photo in _entries(data, on_broken):
            photos.setdefault(valid_text(name), NamedPhoto()).add(photo)
        if photos and not any(photo.texts for photo in photos.values()):
            raise ValueError("no image has a caption or a description")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise SourceError(
            f"{uri}: not a COCO captions file, nor another list of photos with captions "
            f"({EXPECTED}): {type(error).__name__}: {error}"
        ) from error
    return photos


def _entries(data: Any, on_broken: OnBroken) -> Iterator[tuple[str, NamedPhoto]]:
    if isinstance(data, dict) and isinstance(data.get("images"), list):
        yield from _coco_images(data, on_broken)
        return
    if isinstance(data, dict):
        lists = [value for value in data.values() if _is_list_of_objects(value)]
        if len(lists) != 1:
            yield from _sound(data.items(), _from_mapping, on_broken)
            return
        data = lists[0]
    if not isinstance(data, list):
        raise TypeError(f"expected an object or a list, got {type(data).__name__}")
    yield from _sound(data, _from_object, on_broken)


def _sound(
    items: Any, read: Callable[[Any], tuple[str, NamedPhoto]], on_broken: OnBroken
) -> Iterator[tuple[str, NamedPhoto]]:
    """What can be read of some entries; an error where there are some, and none can."""
    fault: Exception | None = None
    n_sound = 0
    for number, item in enumerate(items):
        try:
            found = read(item)
        except (KeyError, TypeError) as error:
            fault = fault or error
            on_broken(number, f"{type(error).__name__}: {error}")
            continue
        n_sound += 1
        yield found
    if fault is not None and not n_sound:
        raise fault


def _coco_images(data: Mapping[str, Any], on_broken: OnBroken) -> Iterator[tuple[str, NamedPhoto]]:
    by_id: dict[str, NamedPhoto] = {}

    def on_broken_annotation(number: int, detail: str) -> None:
        on_broken(len(data["images"]) + number, f"annotation {number}: {detail}")

    for image_id, photo in _sound(data.get("annotations") or [], _annotation, on_broken_annotation):
        by_id.setdefault(image_id, NamedPhoto()).add(photo)

    def image(item: Any) -> tuple[str, NamedPhoto]:
        name, photo = _from_object(item, file_alone=True)
        ids = [item["id"]] if "id" in item else []
        stem = name.rpartition(".")[0]
        known = next((by_id[key] for key in (*map(str, ids), name, stem) if key in by_id), None)
        found = NamedPhoto(ids=ids)
        for each in (known, photo):
            if each is not None:
                found.add(each)
        found.attributes = {}
        return name, found

    yield from _sound(data["images"], image, on_broken)


def _annotation(item: Any) -> tuple[str, NamedPhoto]:
    """A caption, or a box or a skeleton of Human-Art's and merged files, which says nothing."""
    image_id = str(item["image_id"])
    if "keypoints" in item and "caption" not in item:
        return image_id, NamedPhoto()
    photo = _described(item)
    return image_id, NamedPhoto(texts=photo.texts, caption_from=photo.caption_from)


def _from_mapping(item: tuple[str, Any]) -> tuple[str, NamedPhoto]:
    key, value = item
    if not isinstance(value, dict):
        texts = caption_texts(value)
        if not texts:
            raise TypeError(f"{key!r}: expected a text or an object, got {type(value).__name__}")
        return key, NamedPhoto(texts=texts)
    field_name, name = photo_name(value)
    return name or key, _described(value, without=field_name)


def _from_object(item: Any, *, file_alone: bool = False) -> tuple[str, NamedPhoto]:
    if not isinstance(item, dict):
        raise TypeError(f"expected an object, got {type(item).__name__}")
    field_name, name = photo_name(item)
    if name is None:
        raise KeyError("file_name")
    folder = item.get("filepath")  # Karpathy's: the folder, beside filename
    if file_alone and field_name != "filepath" and isinstance(folder, str) and "/" not in name:
        name = f"{folder}/{name}"
    return name, _described(item, without=field_name)


def _described(item: Mapping[str, object], *, without: str | None = None) -> NamedPhoto:
    rest = {key: value for key, value in item.items() if key != without}
    for name in caption_fields(rest):
        texts = caption_texts(rest[name])
        if texts and texts[0].strip():
            rest.pop(name)
            return NamedPhoto(texts=texts, attributes=rest, caption_from=name)
    return NamedPhoto(attributes=rest)


def _is_list_of_objects(value: object) -> bool:
    return isinstance(value, Sequence) and bool(value) and isinstance(value[0], dict)
