"""One tar: links in it, encodings of its captions, what is no record and why."""

import io
import json
import tarfile
from pathlib import Path

import pytest

from storage.sources import LeftOut, ReadFailure, resolve_source


def _tar(path: Path, members: "list[tuple[str, bytes | tuple[bytes, str]]]") -> None:
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            if isinstance(data, tuple):
                info.type, info.linkname = data
                tar.addfile(info)
            else:
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))


def _listed(path: Path):
    source = resolve_source(str(path))
    left: list[LeftOut] = []
    records = list(source.records(left_out=left.append))
    return records, [data for _, data in source.read(records)], left


@pytest.mark.parametrize("link", [tarfile.LNKTYPE, tarfile.SYMTYPE])
def test_links_in_a_tar_are_the_members_that_they_name(tmp_path, jpeg, link):
    members = [
        ("d/a.jpg", jpeg(1)), ("d/a.txt", b"a man"),
        ("d/b.jpg", (link, "d/a.jpg" if link == tarfile.LNKTYPE else "a.jpg")),
        ("d/b.txt", (link, "d/a.txt" if link == tarfile.LNKTYPE else "../d/a.txt")),
    ]  # fmt: skip
    _tar(tmp_path / "0.tar", members)
    records, data, _ = _listed(tmp_path)
    assert [record.caption for record in records] == ["a man", "a man"]
    assert data == [jpeg(1), jpeg(1)]
    assert records[0].content_tag == records[1].content_tag


@pytest.mark.parametrize("target", ["gone.jpg", "a.jpg", "../../etc/passwd", "/etc/passwd"])
def test_links_that_lead_nowhere_cost_their_own_photo_alone(tmp_path, jpeg, target):
    _tar(tmp_path / "0.tar", [("a.jpg", (tarfile.SYMTYPE, target)), ("b.jpg", jpeg(2))])
    _, data, _ = _listed(tmp_path)
    assert isinstance(data[0], ReadFailure)
    assert "is a link to" in data[0].detail
    assert data[1] == jpeg(2)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
def test_a04_captions_of_tars_in_every_encoding(tmp_path, jpeg, encoding):
    text = "une femme âgée court à côté"
    _tar(tmp_path / "0.tar", [("a.jpg", jpeg()), ("a.txt", text.encode(encoding))])
    records, _, _ = _listed(tmp_path)
    assert records[0].caption == text


@pytest.mark.parametrize("field", ["caption", "TEXT", "Prompt", "text_input", "description"])
@pytest.mark.parametrize("value", ["a man runs", ["a man runs", "a runner"]])
def test_a03_a01_captions_of_json_members_by_the_common_names(tmp_path, jpeg, field, value):
    facts = json.dumps({field: value, "width": 3}).encode()
    _tar(tmp_path / "0.tar", [("a.jpg", jpeg()), ("a.json", facts)])
    records, _, _ = _listed(tmp_path)
    others = {"other_captions": ["a runner"]} if isinstance(value, list) else {}
    assert records[0].caption == "a man runs"
    assert records[0].attributes == {"width": 3} | others
    assert records[0].caption_from == f".json: {field}"


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"conversations": [{"from": "gpt", "value": "a man runs"}]}, "conversations"),
        ({"internlm2_caption": "a man runs", "key": "a"}, "internlm2_caption"),
        ({"json": {"prompt": "a man runs"}}, "json"),
    ],
)
def test_answers_of_models_in_json_members(tmp_path, jpeg, fields, where):
    _tar(tmp_path / "0.tar", [("a.jpg", jpeg()), ("a.json", json.dumps(fields).encode())])
    records, _, _ = _listed(tmp_path)
    assert (records[0].caption, records[0].caption_from) == ("a man runs", f".json: {where}")


def test_folders_of_captions_in_a_tar(tmp_path, jpeg):
    files = [("images/a.jpg", jpeg()), ("images/b.jpg", jpeg(1)), ("masks/a.png", jpeg(2)),
             ("train/images/c.jpg", jpeg(3)), ("captions/a.txt", b"a man"),
             ("captions/stranger.txt", b"a dog"), ("labels/b.txt", b"0 0.5 0.5 0.2 0.1"),
             ("train/captions/c.json", b'{"text": "c"}')]  # fmt: skip
    _tar(tmp_path / "0.tar", files)
    records, _, left = _listed(tmp_path)
    named = {r.uri.partition("#")[2]: r.caption for r in records}
    assert named == {"images/a.jpg": "a man", "images/b.jpg": None, "masks/a.png": None,
                     "train/images/c.jpg": "c", "captions/stranger": "a dog"}  # fmt: skip
    assert len(left) == 4


@pytest.mark.parametrize("blank", [b"", b"  \n", b"\xef\xbb\xbf"])
def test_a16_an_empty_text_leaves_the_caption_to_the_json(tmp_path, jpeg, blank):
    members = [("a.jpg", jpeg()), ("a.txt", blank), ("a.json", b'{"caption": "a man"}')]
    _tar(tmp_path / "0.tar", members)
    records, _, _ = _listed(tmp_path)
    assert records[0].caption == "a man"


def test_every_member_is_a_photo_or_left_out_with_a_reason(tmp_path, jpeg):
    members = [
        ("0.jpg", jpeg(0)), ("0.txt", b"a man"), ("0.mask.png", jpeg(1)), ("0.npy", b"x"),
        ("README.md", b"x"), ("._0.jpg", b"x"), ("1.jpg", jpeg(1)),
        ("pipe", (tarfile.FIFOTYPE, "")), ("1.jpg", jpeg(2)),
    ]  # fmt: skip
    _tar(tmp_path / "0.tar", members)
    records, _, left = _listed(tmp_path / "0.tar")
    assert len(records) + len(left) == len(members)
    assert {item.uri.partition("#")[2]: item.reason for item in left} == {
        "0.txt": "caption_file",
        "0.mask.png": "other_member",
        "0.npy": "other_member",
        "README.md": "unknown_ending",
        "._0.jpg": "hidden",
        "pipe": "not_a_file",
    }


def test_of_a_tar_that_breaks_off_every_member_is_told(tmp_path, jpeg):
    _tar(tmp_path / "0.tar", [("0.jpg", jpeg(0)), ("1.txt", b"a man"), ("1.jpg", jpeg(1))])
    whole = (tmp_path / "0.tar").read_bytes()
    (tmp_path / "0.tar").write_bytes(whole[: 512 * 6])
    records, data, left = _listed(tmp_path)
    assert [record.uri for record in records] == ["0.tar#0.jpg", "0.tar#"]
    assert [isinstance(item, ReadFailure) for item in data] == [False, True]
    assert {item.reason for item in left} <= {"broken_end"}


def test_an_empty_tar_is_left_out(tmp_path, jpeg):
    _tar(tmp_path / "0.tar", [])
    _tar(tmp_path / "1.tar", [("0.jpg", jpeg(0))])
    records, _, left = _listed(tmp_path)
    assert len(records) == 1
    assert [(item.uri, item.reason) for item in left] == [("0.tar", "empty")]
