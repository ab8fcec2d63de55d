"""Folder sources: which files are records, in which order, with which captions."""

import json
import os
import unicodedata
from pathlib import Path

import pytest

from storage.canonical import decode_path
from storage.errors import SourceError
from storage.sources import LeftOut, ReadFailure, open_source, resolve_source
from storage.sources.captions import WRONG_BYTES
from storage.sources.folder import FolderSource


def _write(path: Path, data: bytes | str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)


def _captions(root: Path) -> dict[str, str | None]:
    return {record.uri: record.caption for record in FolderSource(str(root)).records(tags=False)}


def _left_out(source: FolderSource) -> dict[str, str]:
    found: list[LeftOut] = []
    list(source.records(left_out=found.append, tags=False))
    assert len({item.uri for item in found}) == len(found)
    return {decode_path(item.uri): item.reason for item in found}


def _uris(root: Path) -> list[str]:
    return [record.uri for record in open_source(str(root))]


def test_every_image_suffix_in_any_case_is_a_record_even_garbage(tmp_path, jpeg):
    """A05: also the rarer endings of JPEG and TIFF, and what needs a plug-in to be decoded."""
    names = ["a.jpg", "b.JPEG", "c.Png", "d.webp", "e.bmp", "f.tif", "g.GIF", "h.TIFF", "i.jfif"]
    names += ["j.JPE", "k.jif", "l.pjpeg", "m.avif", "n.HEIC", "o.heif", "p.jxl", "q.apng"]
    for name in names:
        _write(tmp_path / name, b"not an image at all")
    for other in ("a.txt", "notes.md", ".hidden.jpg", ".git/x.jpg", "h.cr2", "noext"):
        _write(tmp_path / other, b"x")
    assert _uris(tmp_path) == names
    source = resolve_source(str(tmp_path))
    read = list(source.read(list(source.records())))
    assert [data for _, data in read] == [b"not an image at all"] * len(names)


def test_path_order_is_that_of_the_whole_path(tmp_path, jpeg):
    for name in ("b/1.jpg", "b.jpg", "a/z.jpg", "a-b.jpg", "B.jpg"):
        _write(tmp_path / name, jpeg())
    uris = _uris(tmp_path)
    assert uris == sorted(uris) == ["B.jpg", "a-b.jpg", "a/z.jpg", "b.jpg", "b/1.jpg"]


def test_odd_names_survive_the_round_trip(tmp_path, jpeg):
    names = ["ü #1?.jpg", "100%.jpg", "a b.png", "新.jpg", os.fsdecode(b"latin\xe9.jpg")]
    for index, name in enumerate(names):
        _write(tmp_path / name, jpeg(index))
    source = resolve_source(str(tmp_path))
    records = list(source.records())
    assert all(record.uri.isascii() and " " not in record.uri for record in records)
    assert "latin%E9.jpg" in {record.uri for record in records}
    assert {data for _, data in source.read(records)} == {jpeg(i) for i in range(len(names))}
    assert len({record.key for record in records}) == len(names)


def test_sidecars_are_shared_by_one_stem_and_txt_wins(tmp_path, jpeg):
    for name in ("a.jpg", "a.png", "b.jpg", "c.jpg"):
        _write(tmp_path / name, jpeg())
    _write(tmp_path / "a.txt", "\ufeffa man runs\n")
    _write(tmp_path / "a.json", json.dumps({"caption": "from json", "licence": 4}))
    _write(tmp_path / "b.json", json.dumps({"text": ["first", "second"], "x": float("nan")}))
    found = {record.uri: record for record in open_source(str(tmp_path))}
    assert found["a.jpg"].caption == found["a.png"].caption == "a man runs"
    assert found["a.jpg"].attributes == {"licence": 4}
    assert found["b.jpg"].caption == "first"
    assert found["b.jpg"].attributes == {"other_captions": ["second"], "x": None}
    assert found["c.jpg"].caption is None


@pytest.mark.parametrize("content", [b"{broken", b"[1]", b"\xff\xfe", b"[" * 100_000])
def test_a_broken_sidecar_costs_the_caption_not_the_listing(tmp_path, jpeg, content):
    _write(tmp_path / "a.jpg", jpeg())
    _write(tmp_path / "a.json", content)
    _write(tmp_path / "b.jpg", jpeg())
    first, second = open_source(str(tmp_path))
    assert first.caption is None
    assert "a.json" in str(first.attributes["caption_error"])
    assert second.attributes == {}


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_metadata_file_gives_captions(tmp_path, jpeg, kind):
    for name in ("train/a.jpg", "b.jpg"):
        _write(tmp_path / name, jpeg())
    rows = [{"file_name": "train/a.jpg", "text": "a, b"}, {"file_name": "gone.jpg", "text": "x"}]
    if kind == "jsonl":
        _write(tmp_path / "metadata.jsonl", "\n".join(map(json.dumps, rows)) + "\nbroken{\n")
    elif kind == "csv":
        _write(tmp_path / "metadata.csv", 'file_name,text\ntrain/a.jpg,"a, b"\ngone.jpg,x\n')
    else:
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "metadata.parquet")
    assert {record.uri: record.caption for record in open_source(str(tmp_path))} == {
        "b.jpg": None,
        "train/a.jpg": "a, b",
    }


@pytest.mark.parametrize("field", ["prompt", "TEXT", "Description", "text_input", "captions"])
@pytest.mark.parametrize("kind", ["METADATA.JSONL", "metadata.csv", "a.json", "a.jpg.json"])
def test_captions_by_any_name_of_the_one_table(tmp_path, jpeg, field, kind):
    """A03: metadata files and sidecars know the names that tables know, in any case."""
    _write(tmp_path / "a.jpg", jpeg())
    row = {field: "a man runs"} | ({} if kind[0] == "a" else {"FileName": "a.jpg"})
    if kind.endswith("csv"):
        _write(tmp_path / kind, ",".join(row) + "\n" + ",".join(row.values()) + "\n")
    else:
        _write(tmp_path / kind, json.dumps(row) + "\n")
    (record,) = open_source(str(tmp_path))
    assert (record.caption, record.attributes) == ("a man runs", {})
    assert kind.removeprefix("a") in record.caption_from


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
@pytest.mark.parametrize("kind", ["a.txt", "a.caption", "a.json", "a.png.txt", "metadata.csv"])
def test_captions_in_the_encodings_of_editors(tmp_path, jpeg, encoding, kind):
    """A04: and never a caption with a sign for wrong bytes where the bytes can be read."""
    _write(tmp_path / "a.png", jpeg())
    caption = "une femme âgée court"
    text = json.dumps({"text": caption}, ensure_ascii=False) if kind == "a.json" else caption
    text = f"file_name,text\na.png,{caption}\n" if kind == "metadata.csv" else text
    _write(tmp_path / kind, text.encode(encoding))
    assert _captions(tmp_path) == {"a.png": caption}


def test_a_caption_that_cannot_be_decoded_carries_the_sign(tmp_path, jpeg):
    """A04: reading.py refuses it as bad_caption."""
    _write(tmp_path / "a.jpg", jpeg())
    _write(tmp_path / "a.txt", "женщина бежит".encode("cp1251"))
    assert WRONG_BYTES in str(_captions(tmp_path)["a.jpg"])


@pytest.mark.parametrize(
    "name",
    ["a.caption", "a.CAPTION", "a.cap", "a.text", "a.TXT", "a.jpg.txt", "a.jpg.caption",
     "a.JPG.TXT", "A.txt"],
)  # fmt: skip
def test_sidecars_of_neighbouring_tools(tmp_path, jpeg, name):
    """A08, A09: kohya's .caption, names that keep the photo's ending, and any case."""
    _write(tmp_path / "a.jpg", jpeg())
    _write(tmp_path / name, "a man\n")
    assert _captions(tmp_path) == {"a.jpg": "a man"}
    assert _left_out(FolderSource(str(tmp_path))) == {name: "caption_file"}


def test_the_whole_names_sidecar_belongs_to_one_photo(tmp_path, jpeg):
    """A09: a.jpg.txt is not a.png's; the stem's file is shared and speaks first."""
    for name in ("a.jpg", "a.png", "b.jpg", "b.png"):
        _write(tmp_path / name, jpeg())
    for name in ("a.jpg.txt", "b.txt", "b.jpg.json"):
        _write(
            tmp_path / name, '{"caption": "json", "by": "gallery-dl"}' if "json" in name else name
        )
    found = _captions(tmp_path)
    assert found == {"a.jpg": "a.jpg.txt", "a.png": None, "b.jpg": "b.txt", "b.png": "b.txt"}


@pytest.mark.parametrize("blank", ["", " \n", "\ufeff"])
@pytest.mark.parametrize("full", ["a.json", "a.caption", "a.jpg.txt", "a.jpg.json", "metadata.csv"])
def test_a_blank_sidecar_hides_no_caption(tmp_path, jpeg, blank, full):
    """A16: an empty .txt beside what has the caption."""
    _write(tmp_path / "a.jpg", jpeg())
    _write(tmp_path / "a.txt", blank)
    rows = {"json": '{"caption": "a man"}', "csv": "file_name,text\na.jpg,a man\n"}
    _write(tmp_path / full, rows.get(full.rpartition(".")[2], "a man"))
    assert _captions(tmp_path) == {"a.jpg": "a man"}
    (tmp_path / full).unlink()
    assert _captions(tmp_path) == {"a.jpg": ""}


_COMPOSED, _DECOMPOSED = "caf\u00e9", "cafe\u0301"


@pytest.mark.parametrize(
    ("there", "written"),
    [
        (f"{_DECOMPOSED}.jpg", f"{_COMPOSED}.jpg"),
        (f"{_COMPOSED}/{_DECOMPOSED}.jpg", f"{_DECOMPOSED}/{_COMPOSED}.jpg"),
        ("sub/a.jpg", "sub\\a.jpg"),
        ("sub/a.jpg", ".\\sub\\a.jpg"),
        (f"{_COMPOSED}/a.jpg", f"{_DECOMPOSED}\\a.jpg"),
        ("sub/a.jpg", "Sub/A.JPG"),
        ("a b.jpg", "a%20b.jpg"),
    ],
)
@pytest.mark.parametrize("kind", ["metadata.jsonl", "metadata.csv"])
def test_metadata_names_as_another_system_writes_them(tmp_path, jpeg, there, written, kind):
    """A12, A15: Unicode forms, back-slashes, case, escapes."""
    _write(tmp_path / there, jpeg())
    _write(tmp_path / "other.jpg", jpeg())
    row = json.dumps({"file_name": written, "text": "a man"})
    _write(tmp_path / kind, f"file_name,text\n{written},a man\n" if "csv" in kind else row)
    found = {decode_path(uri): caption for uri, caption in _captions(tmp_path).items()}
    assert found == {there: "a man", "other.jpg": None}
    assert _left_out(FolderSource(str(tmp_path))) == {kind: "caption_file"}


def test_a_row_is_of_the_photo_that_it_names(tmp_path, jpeg):
    """A12: a name that differs in form is another's only where no photo has it."""
    for name in (f"{_COMPOSED}.jpg", f"{_DECOMPOSED}.jpg", "a.JPG", "a.jpg"):
        _write(tmp_path / name, jpeg())
    rows = [{"file_name": f"{_COMPOSED}.jpg", "text": "a man"}, {"file_name": "a.jpg", "text": "b"}]
    _write(tmp_path / "metadata.jsonl", "\n".join(map(json.dumps, rows)))
    found = {decode_path(uri): caption for uri, caption in _captions(tmp_path).items()}
    assert found == {f"{_COMPOSED}.jpg": "a man", f"{_DECOMPOSED}.jpg": None, "a.JPG": None,
                     "a.jpg": "b"}  # fmt: skip


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_sidecars_name_in_another_form(tmp_path, jpeg, form):
    """A12: photo and caption went through different systems."""
    other = {"NFC": "NFD", "NFD": "NFC"}[form]
    _write(tmp_path / unicodedata.normalize(form, "Zoé 가.jpg"), jpeg())
    _write(tmp_path / unicodedata.normalize(other, "Zoé 가.txt"), "a man")
    assert list(_captions(tmp_path).values()) == ["a man"]


def _cache(root: Path, jpeg) -> Path:
    _write(root / "blobs/0", jpeg())
    _write(root / "blobs/1", "a man runs")
    (root / "snapshot/sub").mkdir(parents=True)
    for name, blob in (("a.jpg", 0), ("a.txt", 1), ("sub/b.jpg", 0), ("sub/b.txt", 1)):
        (root / "snapshot" / name).symlink_to(root / f"blobs/{blob}")
    return root / "snapshot"


def test_a_cache_of_links_says_which_option_reads_it(tmp_path, jpeg):
    """A22: Hugging Face's cache, links to files out of the root."""
    snapshot = _cache(tmp_path, jpeg)
    with pytest.raises(SourceError, match=r"4 links out of it.*a\.jpg.*--follow-links"):
        list(open_source(str(snapshot)))
    source = FolderSource(str(snapshot), follow_links=True)
    records = list(source.records())
    assert [(r.uri, r.caption) for r in records] == [
        ("a.jpg", "a man runs"),
        ("sub/b.jpg", "a man runs"),
    ]
    assert all(record.content_tag.startswith("sha256:") for record in records)
    assert [data for _, data in source.read(records)] == [jpeg(), jpeg()]
    (refused,) = (data for _, data in FolderSource(str(snapshot)).read(records[:1]))
    assert isinstance(refused, ReadFailure)
    assert "--follow-links" in refused.detail


def test_followed_folders_end_where_they_begin_again(tmp_path, jpeg):
    """A22, A21: links to folders out of the root, one of which leads back."""
    _write(tmp_path / "out/b.jpg", jpeg())
    _write(tmp_path / "root/a.jpg", jpeg())
    (tmp_path / "root/linked").symlink_to(tmp_path / "out")
    (tmp_path / "out/back").symlink_to(tmp_path / "root")
    (tmp_path / "out/self").symlink_to(tmp_path / "out")
    source = FolderSource(str(tmp_path / "root"), follow_links=True)
    assert [record.uri for record in source.records()] == ["a.jpg", "linked/b.jpg"]
    assert _left_out(source) == {"linked/back": "link_loop", "linked/self": "link_loop"}


def test_every_file_there_is_a_record_or_left_out_for_a_reason(tmp_path, jpeg):
    root = tmp_path / "root"
    for name in ("a.jpg", "b/c.PNG", "b/d.jpg"):
        _write(root / name, jpeg())
    _write(tmp_path / "out.jpg", jpeg())
    left = {
        "a.txt": "caption_file",
        "b/metadata.jsonl": "caption_file",
        "b/d.jpg.json": "caption_file",
        "gone.txt": "no_photo",
        "gone.json": "no_photo",
        "photo.cr2": "unknown_ending",
        "noext": "unknown_ending",
        "b/more.parquet": "other_layout",
        "b/00000.tar": "other_layout",
        ".DS_Store": "hidden",
        ".git/x/y.jpg": "hidden",
        "b/.hidden.jpg": "hidden",
    }
    for name in left:
        _write(root / name, "{}")
    rows = ['{"file_name": "c.PNG", "text": "x"}', "{", '{"file_name": "c.PNG"}', '{"text": "y"}',
            '{"file_name": "gone.jpg", "text": "z"}']  # fmt: skip
    _write(root / "b/metadata.jsonl", "\n".join(rows))
    (root / "out.jpg").symlink_to(tmp_path / "out.jpg")
    (root / "b/up").symlink_to(root)
    (root / "dead").symlink_to(root / "nothing")
    os.mkfifo(root / "pipe.jpg")
    left |= {"out.jpg": "link_outside", "b/up": "link_loop", "dead": "dead_link"}
    left |= {"pipe.jpg": "not_a_file"}
    row = "b/metadata.jsonl?row="
    left |= {f"{row}1": "broken_row", f"{row}2": "repeated", f"{row}3": "broken_row"}
    left |= {f"{row}4": "no_photo"}
    source = FolderSource(str(root))
    assert _left_out(source) == left
    n_files = sum(len(files) for _, _, files in os.walk(root)) + 1  # the link to a folder
    n_rows = sum("?row=" in uri for uri in left)
    assert len(list(source.records(tags=False))) + len(left) - n_rows == n_files


def test_an_error_says_what_is_there_instead(tmp_path, jpeg):
    for name in ("a.cr2", "b.CR2", "c.mov", "d"):
        _write(tmp_path / name, "x")
    with pytest.raises(SourceError, match=r"no photos in .*got 2 ending in \.cr2, 1 ending in"):
        list(open_source(str(tmp_path)))


def test_metadata_without_file_name_is_an_error_that_names_it(tmp_path, jpeg):
    _write(tmp_path / "a.jpg", jpeg())
    _write(tmp_path / "metadata.csv", "place,text\na.jpg,x\n")
    with pytest.raises(SourceError, match=r"metadata\.csv.*file_name"):
        list(open_source(str(tmp_path)))


def test_links_are_followed_only_inside_the_root(tmp_path, jpeg):
    root = tmp_path / "root"
    _write(root / "a/1.jpg", jpeg(1))
    _write(tmp_path / "outside/2.jpg", jpeg(2))
    (root / "in.jpg").symlink_to(root / "a/1.jpg")
    (root / "out.jpg").symlink_to(tmp_path / "outside/2.jpg")
    (root / "out").symlink_to(tmp_path / "outside")
    (root / "a/loop").symlink_to(root)
    (root / "dead.jpg").symlink_to(root / "nothing.jpg")
    os.mkfifo(root / "pipe.jpg")
    source = resolve_source(str(root))
    records = list(source.records())
    assert [record.uri for record in records] == ["a/1.jpg", "dead.jpg", "in.jpg"]
    data = [data for _, data in source.read(records)]
    assert data[0] == data[2] == jpeg(1)
    assert isinstance(data[1], ReadFailure)


def test_reading_never_raises_for_one_record(tmp_path, jpeg):
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        _write(tmp_path / name, jpeg())
    source = resolve_source(str(tmp_path))
    records = list(source.records())
    (tmp_path / "a.jpg").unlink()
    _write(tmp_path / "c.jpg", jpeg(9))
    (_, gone), (_, kept), (_, changed) = source.read(records)
    assert isinstance(gone, ReadFailure)
    assert kept == jpeg()
    assert isinstance(changed, ReadFailure)
    assert "changed" in changed.detail


def test_content_tag_follows_the_bytes(tmp_path, jpeg):
    _write(tmp_path / "a.jpg", jpeg(1))
    (before,) = open_source(str(tmp_path))
    (again,) = open_source(str(tmp_path))
    _write(tmp_path / "a.jpg", jpeg(2))
    (after,) = open_source(str(tmp_path))
    assert before == again
    assert (before.key, before.content_tag == after.content_tag) == (after.key, False)


def test_empty_and_missing_folders_say_what_was_expected_and_where(tmp_path):
    with pytest.raises(SourceError, match=r"no photos in .*\.jpg"):
        list(open_source(str(tmp_path)))
    with pytest.raises(SourceError, match=r"not found.*nothing"):
        open_source(str(tmp_path / "nothing"))
