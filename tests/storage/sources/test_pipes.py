"""Named pipes in a source, under any name that a reader might open: opening one would never end."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from storage.errors import SourceError
from storage.sources import LeftOut, resolve_source
from storage.sources.report import Tally

NAMES = (
    "a.csv", "a.tsv", "a.jsonl", "a.json", "a.parquet", "a.arrow", "a.csv.gz", "00000.tar",
    "00000.tgz", "metadata.csv", "metadata.jsonl", "metadata.parquet", "captions.json", "0.txt",
    "0.json", "0.caption", "0.jpg", "annotations/captions.json", "sub/00000.tar", "sub/a.parquet",
)  # fmt: skip


@pytest.mark.timeout(20)
@pytest.mark.parametrize("beside", [None, "0.png"], ids=["alone", "beside a photo"])
@pytest.mark.parametrize("name", NAMES)
def test_a_pipe_is_told_of_and_never_waited_for(
    name: str, beside: str | None, tmp_path: Path, jpeg: Callable[..., bytes]
) -> None:
    if beside is not None:
        (tmp_path / beside).write_bytes(jpeg(1, "PNG"))
    (tmp_path / name).parent.mkdir(exist_ok=True)
    os.mkfifo(tmp_path / name)
    things: list[LeftOut] = []
    said = ""
    try:
        tally = Tally(resolve_source(str(tmp_path)), str(tmp_path), None, left_out=things.append)
        records = list(tally.records())
    except SourceError as error:
        said, records = str(error), []
    told = [thing.uri for thing in things] + [record.uri for record in records]
    assert name in said or name in [uri.partition("#")[0] for uri in told]
    assert [r.uri for r in records if r.content_tag[:7] != "broken:"] in ([], [beside])


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", ["a.csv", "a.parquet", "a.json"])
def test_a_pipe_given_as_the_source_is_an_error_that_says_so(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(SourceError, match=r"a pipe.*write what it gives into a file"):
        list(resolve_source(str(tmp_path / name)).records())
