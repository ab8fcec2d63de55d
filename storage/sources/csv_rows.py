"""Rows of csv files of every dialect: separators, encodings, quotes, headers as people have them.

RFC 4180 says commas and double quotes; European Excel writes semicolons in the Windows code page,
"Unicode text" is UTF-16 with tabs, pandas and databases write bars. The header tells which.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

from storage.sources.captions import caption_fields, decode_text, text_encoding
from storage.sources.columns import Row, looks_headless, photo_columns

_HEAD_BYTES = 2**16
_MAX_CELL_CHARS = 2**20
_USUAL_DELIMITERS = ",;\t|"


@dataclass(frozen=True, slots=True)
class BrokenRow:
    """A row of which only its position is known."""

    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvDialect:
    """How one csv file is written."""

    columns: tuple[str, ...]
    delimiter: str = ","
    quote: str = '"'
    skip_blanks: bool = False  # after a delimiter
    n_before: int = 1  # lines before the first row: the header, and what stands above it


def decoded_lines(file: BinaryIO) -> Iterator[str]:
    """The lines of a text file with their ends, in whichever encoding it is.

    UTF-16 shows at the file's beginning; else each line is UTF-8 or of the Windows code page, and
    what is neither holds U+FFFD.
    """
    head = file.read(_HEAD_BYTES)
    file.seek(0)
    encoding = text_encoding(head)
    if encoding is not None or (b"\r" in head and b"\n" not in head):
        yield from io.TextIOWrapper(file, encoding or "utf-8", errors="replace", newline="")
        return
    for line in file:
        try:
            yield line.decode("utf-8")
        except UnicodeDecodeError:
            yield decode_text(line)


def csv_rows(lines: Iterable[str]) -> Iterator[Row | BrokenRow]:
    """The rows of a csv file, cells as text; the first that is no row is the header."""
    taken = _Taken(lines)
    dialect = csv_dialect(taken.first(20))
    if dialect is None:
        return
    for _ in range(dialect.n_before):
        next(taken)
    csv.field_size_limit(_MAX_CELL_CHARS)
    reader = csv.reader(taken, strict=True, **_settings(dialect))
    while True:
        taken.clear()
        try:
            cells = next(reader, None)
        except csv.Error:
            # A quote that is never closed swallows lines, and rows with them: each is read alone.
            for line in list(taken.lines):
                yield from _single(line, dialect)
            continue
        if cells is None:
            return
        if cells:
            yield _row(cells, dialect)


def csv_dialect(lines: list[str]) -> CsvDialect | None:
    """The dialect that the first lines of a file show; None of a file without any text.

    The separator is the one with which the header has the names of a photo's and a caption's
    column, else the one that gives the most columns; of equals the tab, which texts do not have.
    """
    n_blank = next((n for n, line in enumerate(lines) if line.strip("\ufeff\r\n\t ")), None)
    if n_blank is None:
        return None
    header = lines[n_blank].lstrip("\ufeff")
    n_before = n_blank + 1
    said = re.fullmatch(r'"?sep=(.)"?\s*', header)  # Excel's own first line
    if said:
        if n_before == len(lines):
            return None
        header, n_before = lines[n_before], n_before + 1
    found = [
        CsvDialect(
            columns=tuple(_names(header, delimiter, quote)),
            delimiter=delimiter,
            quote=quote,
            skip_blanks=f"{delimiter} " in header and delimiter != " ",
            n_before=n_before,
        )
        for delimiter in ([said[1]] if said else _candidates(header))
        for quote in ('"', "'")
        if quote == '"' or header.lstrip().startswith("'")
    ]
    best = max(found, key=lambda d: (*_score(d.columns), d.delimiter == "\t"))
    return _headless(best) if looks_headless(best.columns) else best


def _headless(dialect: CsvDialect) -> CsvDialect:
    names = ["image_path" if looks_headless((cell, "")) else "caption" for cell in dialect.columns]
    return replace(dialect, columns=tuple(names), n_before=dialect.n_before - 1)


def _candidates(header: str) -> list[str]:
    others = re.sub(r"[\w\s\"'.\-/\\()\[\]{}]", "", header)
    return list(dict.fromkeys(_USUAL_DELIMITERS + others + ("\x01" if "\x01" in header else "")))


def _score(columns: tuple[str, ...]) -> tuple[int, int]:
    return bool(photo_columns(columns)) + bool(caption_fields(columns)), len(columns)


def _names(header: str, delimiter: str, quote: str) -> list[str]:
    try:
        cells = next(csv.reader([header], delimiter=delimiter, quotechar=quote), [])
    except csv.Error:
        return []
    names: dict[str, None] = {}
    counts: Counter[str] = Counter()
    for cell in cells:
        name = stem = cell.strip()
        while name in names:  # as pandas tells columns of one name apart
            counts[stem] += 1
            name = f"{stem}.{counts[stem]}"
        names[name] = None
    return list(names)


def _settings(dialect: CsvDialect) -> dict[str, Any]:
    return {
        "delimiter": dialect.delimiter,
        "quotechar": dialect.quote,
        "skipinitialspace": dialect.skip_blanks,
    }


def _single(line: str, dialect: CsvDialect) -> Iterator[Row | BrokenRow]:
    """One line as one row, with quotes as far as they are closed."""
    settings = _settings(dialect)
    for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_NONE):
        try:
            rows = [cells for cells in csv.reader([line], quoting=quoting, **settings) if cells]
        except csv.Error as error:
            yield BrokenRow(str(error))
            return
        if any(cell.endswith(("\n", "\r")) for cells in rows for cell in cells):
            continue  # the quote is open at the line's end
        for cells in rows:
            yield _row([cell.strip("\r\n") for cell in cells], dialect)
        return


def _row(cells: list[str], dialect: CsvDialect) -> Row | BrokenRow:
    """Cells by their columns' names; those that are missing are None.

    More cells than columns are one caption with the separator in it, where the last column is the
    caption's and no quotes were written.
    """
    columns = dialect.columns
    extra = cells[len(columns) :]
    while extra and not extra[-1].strip():
        extra.pop()
    if extra:
        if not caption_fields(columns[-1:]):
            return BrokenRow(
                f"{len(columns) + len(extra)} cells, expected {len(columns)} ({', '.join(columns)})"
                f": write cells that hold {dialect.delimiter!r} in quotes"
            )
        blank = " " if dialect.skip_blanks else ""
        cells = [*cells[: len(columns) - 1], f"{dialect.delimiter}{blank}".join(
            [cells[len(columns) - 1], *extra])]  # fmt: skip
    missing = [None] * (len(columns) - len(cells))
    return dict(zip(columns, [*cells, *missing], strict=False))


class _Taken:
    """Lines, of which those taken since the last row are kept."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.lines: list[str] = []
        self._lines = iter(lines)
        self._ahead: list[str] = []

    def first(self, n: int) -> list[str]:
        """The next lines, at most ``n``; they are still to come."""
        while len(self._ahead) < n:
            line = next(self._lines, None)
            if line is None:
                break
            self._ahead.append(line)
        return list(self._ahead)

    def clear(self) -> None:
        """Forget the lines that were taken."""
        self.lines.clear()

    def __iter__(self) -> "_Taken":
        return self

    def __next__(self) -> str:
        line = self._ahead.pop(0) if self._ahead else next(self._lines)
        self.lines.append(line)
        return line
