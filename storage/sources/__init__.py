"""Sources of captioned photos: folders, tables, WebDataset tars, COCO json."""

from storage.sources.base import (
    IMAGE_SUFFIXES,
    LEFT_OUT_REASONS,
    LeftOut,
    LeftOutSink,
    ReadFailure,
    Source,
    SourceFormat,
)
from storage.sources.columns import NamedColumns
from storage.sources.resolve import open_source, resolve_source

__all__ = [
    "IMAGE_SUFFIXES",
    "LEFT_OUT_REASONS",
    "LeftOut",
    "LeftOutSink",
    "NamedColumns",
    "ReadFailure",
    "Source",
    "SourceFormat",
    "open_source",
    "resolve_source",
]
