"""Views move pixels and points alike; degraded pictures stay pictures."""

import numpy as np
import pytest

from demo.world.augment import View, degrade, random_view


@pytest.mark.parametrize("mirror", [False, True])
def test_points_follow_the_pixels(mirror: bool) -> None:
    image = np.zeros((256, 256), dtype=np.uint8)
    image[100:108, 60:68] = 255
    view = View(left_px=20.0, top_px=40.0, side_px=160.0, size_px=128, mirror=mirror)
    ys, xs = np.nonzero(view.apply(image) > 127)
    centre = np.array([xs.mean() + 0.5, ys.mean() + 0.5])
    moved = view.points(np.array([[64.0, 104.0]], dtype=np.float32))[0]
    assert np.abs(centre - moved).max() < 0.6


def test_random_views_lie_inside_the_picture() -> None:
    rng = np.random.default_rng(0)
    views = [random_view(rng, 256, size_px=128) for _ in range(200)]
    assert all(v.left_px >= 0 and v.left_px + v.side_px <= 256 + 1e-6 for v in views)
    assert all(v.top_px >= 0 and v.top_px + v.side_px <= 256 + 1e-6 for v in views)
    assert {v.mirror for v in views} == {False, True}
    assert min(v.side_px for v in views) < 170
    assert max(v.side_px for v in views) == 256


def test_degraded_pictures_stay_close_to_the_original() -> None:
    ramp = np.linspace(30, 220, 64, dtype=np.uint8)
    image = np.stack([np.tile(ramp, (64, 1))] * 3, axis=-1)
    kept = image.copy()
    results = [degrade(image, np.random.default_rng(seed)) for seed in range(40)]
    assert np.array_equal(image, kept)
    assert all(r.shape == image.shape and r.dtype == np.uint8 for r in results)
    distances = [np.abs(r.astype(float) - image).mean() for r in results]
    assert max(distances) < 70
    assert len({r.tobytes() for r in results}) > 20
