"""CSV dialects: separators, encodings, quotes, headers (case A19)."""

import io

import pytest

from storage.sources.csv_rows import BrokenRow, csv_dialect, csv_rows, decoded_lines

ROWS = [{"image_path": "a.jpg", "caption": "a man, old; or so"},
        {"image_path": "b.jpg", "caption": "âgée"}]  # fmt: skip


def _rows(data: bytes | str):
    data = data.encode() if isinstance(data, str) else data
    return list(csv_rows(decoded_lines(io.BytesIO(data))))


def _written(delimiter: str, end: str = "\n", quote: str = '"') -> str:
    quoted = [f"{quote}{row['caption']}{quote}" for row in ROWS]
    lines = [delimiter.join(ROWS[0])]
    lines += [row["image_path"] + delimiter + text for row, text in zip(ROWS, quoted, strict=True)]
    return "".join(line + end for line in lines)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", ":", "#", "~", "\x01"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a19_separators_and_ends_of_lines(delimiter, end):
    assert _rows(_written(delimiter, end)) == ROWS


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"]
)
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a19_encodings_of_spreadsheets(delimiter, encoding):
    assert _rows(_written(delimiter, "\r\n").encode(encoding)) == ROWS


@pytest.mark.parametrize(
    "text",
    [
        "sep=;\nimage_path;caption\na.jpg;a man\n",
        '"sep=|"\r\nimage_path|caption\r\na.jpg|a man\r\n',
        "\n\nimage_path,caption\n\na.jpg,a man\n\n",
        "image_path, caption\na.jpg, a man\n",
        "image_path| caption\na.jpg| a man\n",  # Flickr30k
        'image_path, caption\na.jpg, "a man"\n',
        "'image_path','caption'\n'a.jpg','a man'\n",
        '"image_path";"caption"\n"a.jpg";"a man"\n',
        "image_path,caption,,\na.jpg,a man,,\n",
        "a.jpg,a man\n",  # no header
        "image_path,caption\na.jpg,a man",
    ],
)
def test_a19_headers_and_blanks(text):
    (row,) = _rows(text)
    assert isinstance(row, dict)
    assert (row["image_path"], row["caption"]) == ("a.jpg", "a man")


def test_a_caption_with_separators_and_without_quotes_is_whole():
    assert _rows("file,text\na.jpg,a man, running, fast\n") == [
        {"file": "a.jpg", "text": "a man, running, fast"}
    ]


def test_more_cells_than_columns_elsewhere_are_a_broken_row_that_says_why():
    broken, whole = _rows("text,file\na man, old,a.jpg\na man,b.jpg\n")
    assert isinstance(broken, BrokenRow)
    assert "3 cells, expected 2 (text, file): write cells that hold ',' in quotes" in broken.detail
    assert whole == {"text": "a man", "file": "b.jpg"}


def test_a_quote_that_is_never_closed_swallows_no_rows():
    text = 'file,text\na.jpg,"a man\nb.jpg,a woman\nc.jpg,"a ""dancer"""\nd.jpg,x\n'
    assert [row["text"] for row in _rows(text) if isinstance(row, dict)] == [
        '"a man', "a woman", 'a "dancer"', "x",
    ]  # fmt: skip


def test_lines_within_quotes_are_one_cell():
    assert _rows('file,text\na.jpg,"one, two\n\nthree"\n') == [
        {"file": "a.jpg", "text": "one, two\n\nthree"}
    ]


def test_columns_of_one_name_are_told_apart():
    assert _rows("file,text,text\na.jpg,x,y\n") == [{"file": "a.jpg", "text": "x", "text.1": "y"}]


@pytest.mark.parametrize("data", [b"", b"\n\n", b"\xef\xbb\xbf", b"sep=;\n"])
def test_files_without_a_header_have_no_rows(data):
    assert _rows(data) == []
    assert csv_dialect([]) is None


def test_bytes_of_no_encoding_are_seen():
    (row,) = _rows(b"file,text\na.jpg,\x81\x8d\x8f\x90\xff\xfe\n")
    assert isinstance(row, dict)
    assert "\ufffd" in str(row["text"])


def test_a_line_of_very_many_equal_cells_takes_no_time():
    header = ",".join(["a"] * 20_000)
    dialect = csv_dialect([header + "\n"])
    assert dialect is not None
    assert dialect.columns[:3] == ("a", "a.1", "a.2")
    assert len(set(dialect.columns)) == 20_000
