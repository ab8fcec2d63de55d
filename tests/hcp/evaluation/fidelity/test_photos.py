"""Which photos pictures are held against."""

from collections.abc import Callable

from hcp.evaluation.fidelity.photos import ReferencePhotos, reference_photos
from storage.versions import DatasetVersion

Publish = Callable[..., DatasetVersion]


def photos(version: DatasetVersion, limit: int) -> ReferencePhotos:
    return reference_photos(version, limit=limit, height_px=16, width_px=16)


def test_held_out_photos_come_first_and_the_others_fill_up(publish: Publish) -> None:
    version = publish(val=3, train=5)
    found = photos(version, 6)
    assert (len(found.images), found.n_held_out) == (6, 3)
    assert str(found) == "3 held-out photos and 3 of the training"
    assert {image.shape for image in found.images} == {(16, 16, 3)}
    alone = photos(version, 2)
    assert (len(alone.images), alone.n_held_out, str(alone)) == (2, 2, "2 held-out photos")
    assert (alone.images[0] == found.images[0]).all()


def test_without_held_out_photos_it_says_so(publish: Publish) -> None:
    found = photos(publish(train=4), 99)
    assert str(found) == "0 held-out photos and 4 of the training"
