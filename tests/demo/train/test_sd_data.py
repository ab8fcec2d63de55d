"""A store of drawn pictures is whole or not there, and its batches repeat."""

from pathlib import Path

import numpy as np
import pytest

from demo.train import sd_data
from demo.world.scenes import render_scene


def test_a_store_holds_the_scenes_of_its_seeds(tmp_path: Path) -> None:
    sd_data.render_store(tmp_path, n=3, first_seed=7, workers=1)
    scene = render_scene(8, size_px=sd_data.SIZE_PX)
    assert np.array_equal(sd_data.open_pixels(tmp_path)[1], scene.image)
    assert sd_data.read_captions(tmp_path)[1] == scene.caption
    assert len(sd_data.open_pixels(tmp_path)) == 3


def test_a_whole_store_is_kept_and_half_a_one_drawn_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sd_data.render_store(tmp_path, n=2, first_seed=0, workers=1)
    pixels = sd_data.open_pixels(tmp_path).copy()
    with monkeypatch.context() as patch:
        patch.setattr(sd_data, "ProcessPoolExecutor", None)  # drawing again would fail
        sd_data.render_store(tmp_path, n=2, first_seed=0, workers=1)
    (tmp_path / "captions.json").unlink()  # what a broken-off run leaves
    (tmp_path / "pixels.npy").write_bytes(b"half")
    sd_data.render_store(tmp_path, n=2, first_seed=0, workers=1)
    assert np.array_equal(sd_data.open_pixels(tmp_path), pixels)


def test_batches_are_functions_of_seed_and_step() -> None:
    one, again = (sd_data.batch_indices(5, seed=1, n=100, batch=16) for _ in range(2))
    assert np.array_equal(one, again)
    assert one.shape == (16,)
    assert 0 <= one.min() <= one.max() < 100
    assert not np.array_equal(one, sd_data.batch_indices(6, seed=1, n=100, batch=16))
    assert not np.array_equal(one, sd_data.batch_indices(5, seed=2, n=100, batch=16))
