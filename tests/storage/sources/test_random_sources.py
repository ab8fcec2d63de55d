"""Random sources: none ends in a traceback, and in every one all that is there is accounted for.

Each file, link, row and member is a record, of use, or left out for a reason: once.
"""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from storage.canonical import decode_path
from storage.errors import SourceError
from storage.records import SourceRecord
from storage.sources import LeftOut, resolve_source
from storage.sources.base import CAPTION_FILE, Source
from storage.sources.report import Tally
from tests.storage.sources.random_sources import Made, make_source

N_QUICK, N_ALL = 60, 2000


@pytest.mark.parametrize("seed", range(N_QUICK))
def test_a_random_source_is_accounted_for(seed: int, tmp_path: Path) -> None:
    check(make_source(seed, tmp_path / "source"))


@pytest.mark.slow
@pytest.mark.parametrize("first", range(N_QUICK, N_ALL, 97))
def test_two_thousand_random_sources_are_accounted_for(first: int, tmp_path: Path) -> None:
    for seed in range(first, min(first + 97, N_ALL)):
        check(make_source(seed, tmp_path / str(seed)))


def check(made: Made) -> None:
    options: dict[str, Any] = dict(made.options)
    try:
        source = resolve_source(made.uri, **options)
    except (SourceError, ValueError) as error:
        said = str(error)
    else:
        said = check_source(made, source)
    assert said == "" or str(made.root) in said


def check_source(made: Made, source: Source) -> str:
    """What a listing of a source ends with, where it ends with an error."""
    things: list[LeftOut] = []
    tally = Tally(source, made.uri, made.options.get("images"), left_out=things.append)
    records: list[SourceRecord] = []
    said = ""
    try:
        records.extend(tally.records())
    except SourceError as error:
        said = str(error)
    summary = tally.summary(error=said)
    assert "\n".join(summary.lines()).encode()
    assert summary.n_there == len(records) + len(things)
    if said and not said.startswith("no "):  # it broke off: what comes later is not known
        return said
    check_files(made, source, records, things)
    check_rows(made, source, records, things)
    contents = list(source.read(records))
    assert [record for record, _ in contents] == records
    return said


def check_files(
    made: Made, source: Source, records: list[SourceRecord], things: list[LeftOut]
) -> None:
    """Every file that is there is spoken of, and no more than once."""
    assert len({record.uri for record in records}) == len(records)
    told = Counter(decode_path(thing.uri) for thing in things if is_file(thing.uri))
    assert [path for path, n in told.items() if n > 1] == []
    named = {decode_path(r.uri.partition("?")[0]) for r in records if is_file(r.uri)}
    assert named & set(told) == set()
    if os.path.isdir(made.uri) and "images" not in made.options:
        tars = set(_tars(source))
        there = set(files_below(made.uri))
        assert there - tars - named == set(told) - tars
        if source.format == "folder":
            assert named <= there


def check_rows(
    made: Made, source: Source, records: list[SourceRecord], things: list[LeftOut]
) -> None:
    """Every row and member of what is whole is spoken of."""
    uris = [*(record.uri for record in records), *(thing.uri for thing in things)]
    for name, n in made.members.items():
        path = os.path.relpath(made.root / name, source.root)
        if path in _tars(source):
            found = [uri for uri in uris if decode_path(uri.partition("#")[0]) == path]
            # A sample without a photo is a record beside its members.
            absent = [r for r in records if r.uri in found and r.content_tag == "no image"]
            assert len(found) == n + len(absent) or (n == 0 and len(found) == 1)
    whole = {decode_path(t.uri) for t in things if is_file(t.uri) and t.reason != CAPTION_FILE}
    read = [n for name, n in made.rows.items()
            if (path := os.path.relpath(made.root / name, source.root)) in _tables(source)
            and path not in whole]  # fmt: skip
    if source.format == "table" and len(read) == len(_tables(source)):
        rows = [thing for thing in things if not is_file(thing.uri)]
        assert len(records) + len(rows) == sum(read)


def is_file(uri: str) -> bool:
    return "#" not in uri and "?row=" not in uri


def files_below(root: str) -> Iterator[str]:
    """Files, links and pipes, hidden ones too; links to folders inside are followed, once."""
    real_root = os.path.realpath(root)

    def walk(path: str, above: tuple[str, ...]) -> Iterator[str]:
        full = os.path.join(root, path)
        above = (*above, os.path.realpath(full))
        for name in os.listdir(full):
            below = f"{path}/{name}" if path else name
            place = os.path.join(root, below)
            if not os.path.isdir(place):
                yield below
                continue
            real = os.path.realpath(place)
            inside = real == real_root or real.startswith(real_root + "/")
            if os.path.islink(place) and (not inside or real in above or name.startswith(".")):
                yield below
            else:
                yield from walk(below, above)

    return walk("", ())


def _tables(source: Any) -> tuple[str, ...]:
    return source.tables if source.format == "table" else ()


def _tars(source: Any) -> tuple[str, ...]:
    return source.tars if source.format == "webdataset" else ()
