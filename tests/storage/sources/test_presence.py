"""A photo that cannot be read, told from a store that is away."""

import shutil
from pathlib import Path

import pytest

from storage.errors import StoreAwayError
from storage.sources import ReadFailure, resolve_source
from storage.sources.files import read_photo
from storage.sources.presence import check_present


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a.jpg", "b.jpg"):
        (folder / name).write_bytes(b"photo")
    return folder


def test_a_missing_photo_of_a_folder_that_is_there_is_its_own_fault(photos: Path) -> None:
    (photos / "a.jpg").unlink()
    assert isinstance(read_photo(str(photos), "a.jpg"), ReadFailure)
    assert read_photo(str(photos), "b.jpg") == b"photo"


def test_a_folder_that_is_gone_is_away(photos: Path) -> None:
    shutil.rmtree(photos)
    with pytest.raises(StoreAwayError, match=r"does not answer.*is the share mounted"):
        read_photo(str(photos), "a.jpg")


def test_a_mount_point_without_its_mount_is_away(photos: Path) -> None:
    for path in photos.iterdir():
        path.unlink()
    with pytest.raises(StoreAwayError, match="does not answer"):
        read_photo(str(photos), "a.jpg")


def test_a_listing_of_a_folder_that_goes_away_makes_no_plan_of_unreadable_photos(
    photos: Path,
) -> None:
    source = resolve_source(str(photos))
    records = list(source.records())
    shutil.rmtree(photos)
    with pytest.raises(StoreAwayError):
        list(source.read(records))


def test_a_remote_place_that_has_answered_is_not_asked_again() -> None:
    check_present("s3://nowhere-at-all/photos", FileNotFoundError("photos/a.jpg"))
    check_present("memory://", OSError("reset"))  # asked, and there


def test_a_remote_place_that_is_not_there_is_away() -> None:
    with pytest.raises(StoreAwayError, match="memory://nowhere"):
        check_present("memory://nowhere", OSError("reset"))
