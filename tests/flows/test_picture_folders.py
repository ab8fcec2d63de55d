"""Pairs from two folders: which belong together, their prompts, and what is left out."""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flows.picture_folders import PictureFolders
from storage.errors import HcpError
from tests.colour_profiles import P3, monitor, seen_in_srgb


def fill(folder: Path, names: Mapping[str, int]) -> Path:
    """One grey picture for each name, of that level."""
    for name, level in names.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8, 3), level, dtype=np.uint8)).save(folder / name)
    return folder


def test_equal_names_are_pairs_whatever_their_suffix_and_folder(tmp_path: Path) -> None:
    a = fill(tmp_path / "a", {"x.png": 1, "sub/y.jpg": 2, "alone.png": 3, "x.maps.png": 9})
    b = fill(tmp_path / "b", {"x.webp": 11, "sub/y.PNG": 12, "other.png": 13, "grid.png": 9})
    folders = PictureFolders.of(a, b)
    pairs = {pair.name: pair for pair in folders.pairs()}
    assert sorted(pairs) == ["sub/y", "x"]
    assert (pairs["sub/y"].b.mean(), pairs["x"].prompt) == (12, "")
    assert folders.notes() == [
        "1 pictures are in a alone: alone",
        "1 pictures are in b alone: other",
    ]


def test_prompts_come_from_texts_beside_the_pictures_or_by_number(tmp_path: Path) -> None:
    names = ["001-seed0.png", "001-seed1.png", "002-seed0.png", "009-seed0.png", "free.png"]
    a, b = (fill(tmp_path / letter, dict.fromkeys(names, 5)) for letter in "ab")
    (b / "free.txt").write_text(" a man\n running ")
    folders = PictureFolders.of(a, b, prompts=("a woman", "a boy"))
    found = [(pair.name, pair.prompt) for pair in folders.pairs()]
    assert found == [
        ("001-seed0", "a woman"), ("002-seed0", "a boy"), ("009-seed0", ""),
        ("free", "a man running"), ("001-seed1", "a woman"),
    ]  # fmt: skip


def test_a_picture_that_cannot_be_read_is_left_out_and_told(tmp_path: Path) -> None:
    a, b = (fill(tmp_path / letter, {"x.png": 1, "y.png": 2, "z.png": 3}) for letter in "ab")
    (a / "y.png").write_bytes(b"not a picture")
    (b / "z.png").write_bytes((b / "z.png").read_bytes()[:40])
    folders = PictureFolders.of(a, b)
    assert [pair.name for pair in folders.pairs()] == ["x"]
    assert "2 pictures cannot be read" in folders.notes()[0]
    assert str(a / "y.png") in folders.notes()[0]


def test_pictures_are_seen_as_elsewhere_upright_and_in_srgb(tmp_path: Path) -> None:
    for letter in "ab":
        (tmp_path / letter).mkdir()
        turned = Image.Exif()
        turned[0x0112] = 6
        photo = Image.new("RGB", (40, 20), (200, 100, 50))
        photo.save(tmp_path / letter / "x.jpg", exif=turned, icc_profile=monitor(P3))
    (pair,) = PictureFolders.of(tmp_path / "a", tmp_path / "b").pairs()
    assert pair.a.shape == (40, 20, 3)
    np.testing.assert_allclose(pair.a[9, 9], seen_in_srgb((200, 100, 50), P3), atol=6)


def test_what_cannot_be_paired_is_told(tmp_path: Path) -> None:
    a, b = fill(tmp_path / "a", {"x.png": 1}), fill(tmp_path / "b", {"y.png": 1})
    with pytest.raises(HcpError, match=r"no pictures of equal names: .*/a has x, .*/b has y"):
        PictureFolders.of(a, b)
    with pytest.raises(HcpError, match=r"b_pictures: expected a folder of pictures, got .*none"):
        PictureFolders.of(a, tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(HcpError, match=re.escape("expected files ending in .apng, .avif")):
        PictureFolders.of(tmp_path / "empty", b)
    fill(b, {"y.jpg": 1})
    with pytest.raises(HcpError, match="have one name"):
        PictureFolders.of(a, b)
