"""The drawn photo folder."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

from demo.world.dataset import photo_name, write_folder
from demo.world.scenes import render_scene
from storage.sources import open_source

GOLDEN = Path(__file__).parents[2] / "golden" / "photos"


def test_folder_holds_photos_with_their_captions(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, n=3, seed=40)
    records = {record.uri: record for record in open_source(str(tmp_path))}
    assert set(records) == set(folder.seeds) == {photo_name(i) for i in range(3)}
    for name, seed in folder.seeds.items():
        scene = render_scene(seed)
        assert records[name].caption == scene.caption
        pixels = np.asarray(Image.open(tmp_path / name)).astype(int)
        assert np.abs(pixels - scene.image).mean() < 4  # JPEG, not another scene


def test_same_arguments_write_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_folder(tmp_path / name, n=2, seed=7, defects=True)
    files = sorted(p.name for p in (tmp_path / "a").iterdir())
    assert files == sorted(p.name for p in (tmp_path / "b").iterdir())
    assert all(
        (tmp_path / "a" / f).read_bytes() == (tmp_path / "b" / f).read_bytes() for f in files
    )


def test_defects_are_really_broken(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, n=1, defects=True)
    assert set(folder.defects.values()) == {"unreadable", "no_caption", "too_small"}
    with pytest.raises(UnidentifiedImageError):
        Image.open(tmp_path / "defect-not-an-image.jpg")
    with pytest.raises(OSError, match="truncated"):
        Image.open(tmp_path / "defect-truncated.jpg").load()
    assert not (tmp_path / "defect-no-caption.txt").exists()
    assert max(Image.open(tmp_path / "defect-too-small.jpg").size) < 256


def test_write_folder_refuses_nothing_to_write(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="n must be >= 1"):
        write_folder(tmp_path, n=0)


def test_the_golden_photos_are_drawn_again_byte_for_byte(tmp_path: Path) -> None:
    """The world must not change under the committed weights, nor under users' data sets."""
    write_folder(tmp_path, n=12, seed=700, defects=True)
    files = sorted(path.name for path in GOLDEN.iterdir())
    assert files == sorted(path.name for path in tmp_path.iterdir())
    assert all((tmp_path / f).read_bytes() == (GOLDEN / f).read_bytes() for f in files)
