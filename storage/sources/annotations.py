"""Annotation files: which photos they name, and with which captions. JSON, YAML, lines of text."""

import io
import json
import os
from collections.abc import Iterator
from typing import Any

from storage.canonical import valid_text
from storage.errors import SourceError
from storage.extras import explained_imports
from storage.locations import read_bytes
from storage.sources.annotation_lines import line_entries
from storage.sources.annotation_shapes import Entries, NamedPhoto, OnBroken, entries
from storage.sources.captions import decode_text
from storage.sources.csv_rows import decoded_lines

EXPECTED = (
    "objects 'images' with id, file_name and 'annotations' with image_id, caption; or images with "
    "a description; or one object per photo with its name (file_name, img_path, image, ...) and "
    "its caption (caption, prompt, text, ...); as text, a photo's name and its caption on each line"
)
YAML_SUFFIXES = (".yaml", ".yml")
LINE_SUFFIXES = (".token", ".txt", ".lst", ".list")
LIST_SUFFIXES = (".json", *YAML_SUFFIXES, *LINE_SUFFIXES)
"""Endings of files that may give captions to many photos."""

_MAX_DEPTH = 32


def read_annotations(uri: str, *, on_broken: OnBroken) -> dict[str, NamedPhoto]:
    """A photo's name as the file has it -> what the file says, in the file's order.

    Raises:
        SourceError: the file is none of the shapes, or has no caption at all.
    """
    try:
        photos: dict[str, NamedPhoto] = {}
        for name, photo in _entries(uri, on_broken):
            photos.setdefault(valid_text(name), NamedPhoto()).add(photo)
        if photos and not any(photo.texts for photo in photos.values()):
            raise ValueError("no image has a caption or a description")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise SourceError(
            f"{uri}: not a COCO captions file, nor another list of photos with captions "
            f"({EXPECTED}): {type(error).__name__}: {error}"
        ) from error
    return photos


def _entries(uri: str, on_broken: OnBroken) -> Entries:
    suffix = os.path.splitext(uri)[1].lower()
    data = read_bytes(uri)
    if suffix in YAML_SUFFIXES:
        return entries(_from_yaml(decode_text(data)), on_broken)
    if suffix in LINE_SUFFIXES:
        return line_entries(decoded_lines(io.BytesIO(data)), on_broken)
    return entries(json.loads(decode_text(data)), on_broken)


def _from_yaml(text: str) -> Any:
    """The value of a YAML file; numbers, dates and ``no`` are the texts that they were written as.

    Raises:
        ValueError: it is no YAML, is nested too deep, or repeats parts by aliases, of which a
            small file may make any number.
    """
    with explained_imports():
        import yaml

    loader: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    try:
        _check_events(yaml.parse(text, Loader=loader))
        return yaml.load(text, Loader=loader)
    except yaml.YAMLError as error:
        raise ValueError(f"not YAML: {error}") from error


def _check_events(events: Iterator[Any]) -> None:
    depth = 0
    for event in events:
        kind = type(event).__name__
        depth += kind.endswith("StartEvent") - kind.endswith("EndEvent")
        if kind == "AliasEvent" or depth > _MAX_DEPTH:
            raise ValueError(f"aliases, or more than {_MAX_DEPTH} levels; write it out flat")
