"""Parquet: photos' bytes are read only where they must be."""

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storage.sources import resolve_source
from storage.sources.parquet_rows import UNREAD, numbered_rows, parquet_rows

PHOTO = b"\xff\xd8 a photo"


def _file(rows: list[dict[str, object]], **options: object) -> io.BytesIO:
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), file, **options)  # pyright: ignore[reportArgumentType]
    file.seek(0)
    return file


@pytest.mark.parametrize(
    ("cell", "seen"),
    [
        (PHOTO, UNREAD),
        ({"bytes": PHOTO, "path": "a.jpg"}, {"bytes": UNREAD, "path": "a.jpg"}),
        ({"bytes": PHOTO}, {"bytes": UNREAD}),
        ("a.jpg", "a.jpg"),
        ({"path": "a.jpg"}, {"path": "a.jpg"}),
        ([{"bytes": PHOTO}], [{"bytes": PHOTO}]),
    ],
)
def test_a_look_reads_no_bytes_where_none_is_missing(cell, seen):
    rows = [{"image": cell, "text": f"t{i}", "raw": b"r"} for i in range(3)]
    found = list(parquet_rows(_file(rows, row_group_size=2), with_bytes=False))
    assert found == [row | {"image": seen} for row in rows]


def test_where_one_is_missing_its_row_group_is_read():
    rows = [{"image": PHOTO, "n": 0}, {"image": None, "n": 1}, {"image": PHOTO, "n": 2}]
    found = list(parquet_rows(_file(rows, row_group_size=2), with_bytes=False))
    assert [row["image"] for row in found] == [PHOTO, None, UNREAD]
    bare = list(parquet_rows(_file(rows, write_statistics=False), with_bytes=False))
    assert [row["image"] for row in bare] == [PHOTO, None, PHOTO]


def test_a_file_of_photos_alone_has_as_many_rows():
    rows = [{"image": PHOTO}] * 5
    assert list(parquet_rows(_file(rows), with_bytes=False)) == [{"image": UNREAD}] * 5


def test_rows_by_number_hold_their_photos_alone():
    rows = [{"image": PHOTO + bytes([i]), "text": "x"} for i in range(200)]
    found = dict(numbered_rows(_file(rows, row_group_size=70), {3, 150, 199, 500}))
    assert found == {n: {"image": PHOTO + bytes([n])} for n in (3, 150, 199)}


@pytest.mark.parametrize("struct", [False, True])
def test_a_look_names_the_records_that_a_listing_does(tmp_path, jpeg, struct):
    cells = [jpeg(), None, jpeg(2)]
    images = [{"bytes": cell, "path": "x"} for cell in cells] if struct else cells
    rows = [{"image": cell, "text": "a man", "n": i} for i, cell in enumerate(images)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet", row_group_size=1)
    source = resolve_source(str(tmp_path / "t.parquet"))
    seen = [(r.uri, r.caption, r.attributes) for r in source.records(tags=False)]
    assert seen == [(r.uri, r.caption, r.attributes) for r in source.records()]
    assert len(seen) == 3
