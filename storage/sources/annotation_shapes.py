"""Shapes of annotation files, as JSON and YAML have them: which photos, with which captions.

COCO's (``images`` and ``annotations``, as lists or by id; Human-Art's and Karpathy's images hold
their texts themselves), an object of one entry per photo (LAION-Human's mapping file, kohya's
metadata, DiffusionDB's parts), a list of objects or of pairs, columns, and any of them by split.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any

from storage.sources.base import has_image_suffix
from storage.sources.captions import caption_fields, caption_texts, folded_field
from storage.sources.columns import nested_caption
from storage.sources.names import photo_name
from storage.sources.rows import is_pair

OnBroken = Callable[[int, str], None]
"""Takes the number of an entry that cannot be used, and why."""

_IDS = ("id", "imageid", "imgid", "image", "img")
_OWNERS = ("imageid", "imgid", "image", "img", "id")
_LAST_TEXTS = ("p", "tags")  # DiffusionDB's prompt; kohya's tags, where there is no caption


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


Entries = Iterator[tuple[str, NamedPhoto]]
"""Names of photos as a file has them, and what it says about each."""


def entries(data: Any, on_broken: OnBroken) -> Entries:
    """The entries of a value of any shape, in its order.

    Raises:
        KeyError, TypeError, ValueError: it is of no shape, or no entry can be read.
    """
    if isinstance(data, dict):
        if isinstance(data.get("images"), list | dict) and _is_coco(data["images"]):
            return _coco_images(data, on_broken)
        rows = _columns(data)
        lists = [value for value in data.values() if _is_list_of_objects(value)]
        named = [value for value in lists if photo_name(value[0])[1] is not None]
        maps = [value for value in data.values() if _is_mapping_of_photos(value)]
        if _is_record(data):
            data = [data]  # one photo's own file
        elif rows is not None:
            data = rows
        elif len(lists) == 1 or (named and len(named) == len(lists)):
            data = list(chain.from_iterable(lists))  # the only list, or one for each split
        else:
            items = chain.from_iterable(each.items() for each in maps or [data])
            return _sound(items, _from_mapping, on_broken)
    if not isinstance(data, list):
        raise TypeError(f"expected an object or a list, got {type(data).__name__}")
    return _sound(data, _from_object, on_broken)


def _sound(
    items: Iterable[Any], read: Callable[[Any], tuple[str, NamedPhoto]], on_broken: OnBroken
) -> Entries:
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


def _is_coco(images: list[Any] | dict[str, Any]) -> bool:
    """Whether ``images`` lists them; else it is the text or the column of something."""
    values = images.values() if isinstance(images, dict) else images
    return not isinstance(images, dict) or any(isinstance(value, dict) for value in values)


def _coco_images(data: Mapping[str, Any], on_broken: OnBroken) -> Entries:
    images = _with_ids(data["images"], "id")
    by_id: dict[str, NamedPhoto] = {}

    def on_broken_annotation(number: int, detail: str) -> None:
        on_broken(len(images) + number, f"annotation {number}: {detail}")

    annotations = _with_ids(data.get("annotations") or [], "image_id")
    for image_id, photo in _sound(annotations, _annotation, on_broken_annotation):
        by_id.setdefault(image_id, NamedPhoto()).add(photo)

    def image(item: Any) -> tuple[str, NamedPhoto]:
        if isinstance(item, str):
            item = {"file_name": item}
        name, photo = _from_object(item, file_alone=True)
        ids = [value for value in [_first_of(item, _IDS[:3])] if value is not None]
        stem = name.rpartition(".")[0]
        known = next((by_id[key] for key in (*map(str, ids), name, stem) if key in by_id), None)
        found = NamedPhoto(ids=ids)
        for each in (known, photo):
            if each is not None:
                found.add(each)
        found.attributes = {}
        return name, found

    return _sound(images, image, on_broken)


def _with_ids(value: Any, id_field: str) -> list[Any]:
    """A list of objects, where they may be by their ids: ``{"7": {...}}``, ``{"7": ["a man"]}``."""
    if not isinstance(value, dict):
        return list(value)
    return [
        {id_field: key} | item if isinstance(item, dict) else {id_field: key, "caption": item}
        for key, item in value.items()
    ]


def _first_of(item: Mapping[str, Any], names: Sequence[str]) -> Any:
    """The value of the first of some fields that an object has, by their folded names."""
    folded = {folded_field(str(name)): value for name, value in item.items()}
    return next((folded[name] for name in names if folded.get(name) is not None), None)


def _annotation(item: Any) -> tuple[str, NamedPhoto]:
    """A caption, or a box or a skeleton of Human-Art's and merged files, which says nothing."""
    owner = _first_of(item, _OWNERS[:4]) if "image_id" not in item else item["image_id"]
    if owner is None:
        owner = photo_name(item)[1]
    if owner is None:
        raise KeyError("image_id")
    if "keypoints" in item and "caption" not in item:
        return str(owner), NamedPhoto()
    photo = _described(item)
    return str(owner), NamedPhoto(texts=photo.texts, caption_from=photo.caption_from)


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
    if is_pair(item):
        return item[0], NamedPhoto(texts=caption_texts(item[1]))
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
    for name in (*caption_fields(rest), *(name for name in _LAST_TEXTS if name in rest)):
        texts = _joined(rest[name]) if name == "tags" else caption_texts(rest[name])
        if texts and texts[0].strip():
            rest.pop(name)
            return NamedPhoto(texts=texts, attributes=rest, caption_from=name)
    for name, value in rest.items():
        answer = nested_caption(name, value)
        if answer:
            return NamedPhoto(texts=[answer], attributes=rest, caption_from=name)
    return NamedPhoto(attributes=rest)


def _joined(tags: object) -> list[str]:
    """Tags as one caption."""
    if isinstance(tags, list) and all(isinstance(tag, str) for tag in tags):
        return [", ".join(tags)]
    return [tags] if isinstance(tags, str) else []


def _is_list_of_objects(value: object) -> bool:
    return isinstance(value, Sequence) and bool(value) and isinstance(value[0], dict)


def _is_record(value: Mapping[str, Any]) -> bool:
    """Whether an object names one photo and has its caption."""
    name = photo_name(value)[1]
    return name is not None and has_image_suffix(name) and bool(_described(value).texts)


def _is_mapping_of_photos(value: object) -> bool:
    """Whether an object's first names are those of photos: one split, or what is under a title."""
    names = list(islice(value, 5)) if isinstance(value, dict) else []
    return any(isinstance(name, str) and has_image_suffix(name) for name in names)


def _columns(data: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """The rows of columns: lists of one length, or pandas' objects by row; None of others."""
    kinds = {type(value) for value in data.values()}
    if len(data) < 2 or kinds not in ({list}, {dict}) or not caption_fields(map(str, data)):
        return None
    if len({len(value) for value in data.values()}) != 1:
        return None
    columns = [list(v.values()) if isinstance(v, dict) else v for v in data.values()]
    rows = [dict(zip(data, cells, strict=True)) for cells in zip(*columns, strict=True)]
    return rows if rows and photo_name(rows[0])[1] is not None else None
