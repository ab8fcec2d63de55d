"""Lists of captions that lie in a folder with its photos."""

import json
from pathlib import Path

import pytest

from storage.sources import resolve_source
from storage.sources.base import CAPTION_FILE, LeftOut


def _put(path: Path, data: bytes | str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)


def _read(root: Path) -> tuple[dict[str, tuple[str | None, str]], dict[str, str]]:
    left: list[LeftOut] = []
    source = resolve_source(str(root))
    assert source.format == "folder"
    records = {r.uri: (r.caption, r.caption_from) for r in source.records(left_out=left.append)}
    assert len({thing.uri for thing in left}) == len(left)
    return records, {thing.uri: thing.reason for thing in left}


@pytest.mark.parametrize(
    ("name", "text", "where"),
    [
        ("part-000001.json", {"a.png": {"p": "a man", "se": 1, "st": 50}}, ": p"),
        ("captions.json", {"a.png": "a man"}, ""),
        ("meta_cap.json", {"a": {"caption": "a man"}}, ": caption"),
        ("meta_cap.json", {"/workspace/part-000001/a.png": {"tags": "a man"}}, ": tags"),
        ("captions.yaml", "a.png: a man", ""),
        ("captions.txt", "a.png a man", ": its lines"),
        ("results.token", "a.png#0\ta man", ": its lines"),
    ],
)
def test_it_counts_for_the_photos_beside_it(tmp_path, jpeg, name, text, where):
    folder = tmp_path / "s/images/part-000001"
    _put(folder / "a.png", jpeg())
    _put(folder / name, text if isinstance(text, str) else json.dumps(text))
    records, left = _read(tmp_path / "s")
    assert records == {"images/part-000001/a.png": ("a man", f"{name}{where}")}
    assert left == {f"images/part-000001/{name}": CAPTION_FILE}


def test_parts_of_diffusiondb_know_their_own_photos_and_tell_what_is_not_there(tmp_path, jpeg):
    for part in ("part-1", "part-2"):
        _put(tmp_path / "s" / part / "a.png", jpeg())
        rows = {"a.png": {"p": f"a man of {part}"}, "gone.png": {"p": "x"}, "c.png": 7}
        _put(tmp_path / "s" / part / f"{part}.json", json.dumps(rows))
    records, left = _read(tmp_path / "s")
    assert {uri: text for uri, (text, _) in records.items()} == {
        "part-1/a.png": "a man of part-1",
        "part-2/a.png": "a man of part-2",
    }
    assert left == {
        f"{part}/{part}.json{row}": reason
        for part in ("part-1", "part-2")
        for row, reason in (("", CAPTION_FILE), ("?row=1", "no_photo"), ("?row=2", "broken_row"))
    }


def test_it_counts_below_its_folder_and_after_captions_of_the_photos_own(tmp_path, jpeg):
    rows = {"x/a.jpg": "of the list", "x/b.jpg": "of the list", "c.jpg": "of the list"}
    _put(tmp_path / "s/train/captions.json", json.dumps(rows))
    for name in ("x/a.jpg", "x/b.jpg", "c.jpg"):
        _put(tmp_path / "s/train" / name, jpeg())
    _put(tmp_path / "s/train/x/a.txt", "its own")
    records, left = _read(tmp_path / "s")
    assert [text for text, _ in records.values()] == ["of the list", "its own", "of the list"]
    assert left == {"train/captions.json": CAPTION_FILE, "train/x/a.txt": CAPTION_FILE}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("aspect_ratio_bucket_metadata.json", '{"a.png": {"original_size": [8, 8]}}'),
        ("other.json", '{"elsewhere.png": "a man"}'),
        ("captions.txt", "a man\na dog\n"),
        ("data.yaml", "names: [person]\n"),
        ("broken.json", '{"a.png": '),
    ],
)
def test_files_of_other_uses_are_left_out_as_ever(tmp_path, jpeg, name, text):
    _put(tmp_path / "s/x/a.png", jpeg())
    _put(tmp_path / f"s/x/{name}", text)
    records, left = _read(tmp_path / "s")
    assert records == {"x/a.png": (None, "")}
    assert left == {f"x/{name}": "unknown_ending" if name.endswith("yaml") else "no_photo"}
