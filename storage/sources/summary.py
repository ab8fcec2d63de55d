"""What one listing of a source came to, in numbers and in words."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from storage.canonical import decode_path
from storage.records import SourceRecord
from storage.sources.base import LEFT_OUT_REASONS, SourceFormat

_KINDS: Mapping[SourceFormat, str] = {
    "folder": "a folder of photos with captions beside them",
    "table": "tables whose rows hold or name photos",
    "webdataset": "WebDataset tars",
    "coco": "annotations (COCO captions, or another list) with their photos",
}
_WITHOUT = (
    "no caption was found: they are read from a.txt or a.json beside a.jpg, from metadata.jsonl "
    "with file_name and text, from a folder captions/ beside the photos', and from lists that name "
    "photos and captions; give a table of other columns as the source, with --caption-column"
)
_MAX_SHOWN_CHARS = 100
_MAX_SHOWN_LISTS = 3
_MAX_SHOWN_PLACES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """How often something was seen, and the first few of it."""

    n: int
    examples: tuple[str, ...]  # URIs, with the detail where there is one


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSummary:
    """Every file, row and member that a source holds: a record, of use, or left out."""

    root: str
    format: SourceFormat
    lists: tuple[str, ...] = ()  # the tables, tars or captions files that are read
    n_records: int
    captions: Mapping[str, int] = field(default_factory=dict[str, int])  # by where they stood
    examples: tuple[SourceRecord, ...] = ()  # drawn by key: the same ones each time
    n_used: int  # caption files and tables
    left_out: Mapping[str, Counted] = field(default_factory=dict[str, Counted])  # by reason
    error: str = ""  # why the listing ended before its end

    @property
    def n_captioned(self) -> int:
        """Records that have a caption, and not a blank one."""
        return sum(self.captions.values())

    @property
    def n_left_out(self) -> int:
        """What is neither a record nor of use."""
        return sum(counted.n for counted in self.left_out.values())

    @property
    def n_there(self) -> int:
        """Everything that lies there."""
        return self.n_records + self.n_used + self.n_left_out

    def lines(self) -> Iterator[str]:
        """The summary in words, a line each."""
        yield f"{self.root}: read as {_KINDS[self.format]} (--format {self.format})"
        if self.lists:
            more = len(self.lists) - _MAX_SHOWN_LISTS
            shown = ", ".join(map(_on_one_line, self.lists[:_MAX_SHOWN_LISTS]))
            rest = f" and {more:,} more" if more > 0 else ""
            yield f"  {len(self.lists):,} of them: {shown}{rest}"
        without = self.n_records - self.n_captioned
        fate = " (they will be rejected: no_caption)" if without else ""
        yield f"records: {self.n_records:,}, {without:,} of them without a caption{fate}"
        if self.n_records and not self.captions:
            yield f"  {_WITHOUT}"
        if self.captions:
            yield f"captions: {_places(self.captions)}"
        yield from (f"  {_example(record)}" for record in self.examples)
        yield f"used: {self.n_used:,} caption files and tables"
        yield f"left out: {self.n_left_out:,}"
        for reason, counted in sorted(self.left_out.items(), key=lambda item: -item[1].n):
            such = ", ".join(counted.examples)
            yield f"  {counted.n:,} {reason}: {LEFT_OUT_REASONS[reason]} (such as {such})"
        yield (
            f"sum: {self.n_records:,} records + {self.n_used:,} used + {self.n_left_out:,} left "
            f"out = {self.n_there:,} there"
        )


def shown_path(uri: str) -> str:
    """A record's URI as a person reads it: decoded, on one line."""
    return _on_one_line(decode_path(uri))


def _places(captions: Mapping[str, int]) -> str:
    places = sorted(captions.items(), key=lambda item: (-item[1], item[0]))
    told = [f"{n:,} from {_on_one_line(place) or 'its entry'}" for place, n in places]
    more = len(told) - _MAX_SHOWN_PLACES
    return ", ".join(told[:_MAX_SHOWN_PLACES]) + (f" and {more:,} more places" if more > 0 else "")


def _example(record: SourceRecord) -> str:
    if record.caption is None or not record.caption.strip():
        return f"{shown_path(record.uri)}: no caption"
    place = _on_one_line(record.caption_from) or "its entry"
    return f'{shown_path(record.uri)}: "{_on_one_line(record.caption)}" ({place})'


def _on_one_line(text: str) -> str:
    plain = "".join(c if c.isprintable() else " " if c.isspace() else "?" for c in text)
    return plain if len(plain) <= _MAX_SHOWN_CHARS else f"{plain[: _MAX_SHOWN_CHARS - 3]}..."
