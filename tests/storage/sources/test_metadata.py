"""Captions of a whole folder in one file."""

import json
import logging

import pytest

from storage.errors import SourceError
from storage.sources.metadata import MetadataTable


def _table(tmp_path, *lines: str) -> MetadataTable:
    path = tmp_path / "metadata.jsonl"
    path.write_text("\n".join(lines))
    return MetadataTable(str(path))


def test_rows_are_found_by_name_without_it(tmp_path):
    table = _table(
        tmp_path,
        '{"file_name": "./a/1.jpg", "text": "x", "score": NaN}',
        '{"file_name": "a/1.jpg", "text": "the first row of a name counts"}',
        '{"file_name": 7, "text": "no name"}',
    )
    found = table.find("a/1.jpg")
    assert found is not None
    assert json.loads(found) == {"text": "x", "score": None}
    assert table.find("1.jpg") is None
    assert table.find("\udce9.jpg") is None  # a name that is not UTF-8
    table.close()


def test_broken_and_unused_rows_are_said(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        table = _table(tmp_path, '{"file_name": "a.jpg"}', "{broken", '{"file_name": "b.jpg"}')
        assert table.find("a.jpg") == "{}"
        table.close()
    assert "row 2 is left out" in caplog.text
    assert "1 rows name no photo" in caplog.text


def test_no_row_with_a_name_is_an_error_but_no_row_is_not(tmp_path):
    with pytest.raises(SourceError, match="file_name"):
        _table(tmp_path, '{"place": "a.jpg"}')
    assert _table(tmp_path).find("a.jpg") is None
