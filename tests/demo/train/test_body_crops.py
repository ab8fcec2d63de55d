"""Bodies for the training of the body judge: what is sound, what is faulty, what is left out."""

from pathlib import Path

import numpy as np
import pytest

from demo.embedded import SD_DIR
from demo.train import body_crops
from demo.train.body_crops import (
    MAP_PX,
    MIN_CHANGED,
    ODDS,
    WINDOW_PX,
    RoundTrip,
    changed_share,
    draw_body,
    stored_crops,
)
from demo.world.faults import FAULTS, render_faulty
from demo.world.scenes import render_scene


def test_every_fault_is_met_and_shows() -> None:
    pairs = [draw_body(seed) for seed in range(120)]
    known = [pair for pair in pairs if pair is not None]
    assert len(known) > 0.9 * len(pairs)
    assert {pair.kind for pair in known} == set(FAULTS) == set(ODDS)
    assert sum(ODDS.values()) == pytest.approx(1.0)
    for pair in known:
        intact, faulty = pair.images
        assert pair.changed.shape == intact.shape[:2] == faulty.shape[:2]
        assert np.abs(intact.astype(int) - faulty)[~pair.changed].max() <= 16
        for x0, y0, x1, y1 in pair.boxes:
            assert 0 <= x0 < x1 <= intact.shape[1]
            assert 0 <= y0 < y1 <= intact.shape[0]


def test_a_fault_that_does_not_show_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = render_scene(3, size_px=96, people=1)
    assert changed_share(sound, sound, 0) == 0.0
    assert MIN_CHANGED < changed_share(sound, render_faulty(3, "cut_body", size_px=96), 0) < 1.0
    assert draw_body(3) is not None
    monkeypatch.setattr(body_crops, "MIN_CHANGED", 3.0)
    assert draw_body(3) is None


def test_crops_are_drawn_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = stored_crops(range(40), folder=tmp_path, vae=SD_DIR / "vae")
    n = len(first.kinds)
    assert first.intact.shape == first.faulty.shape == (n, WINDOW_PX, WINDOW_PX, 3)
    assert first.maps.shape == (n, MAP_PX, MAP_PX)
    shown = first.maps.reshape(n, -1).max(axis=1) > 0
    assert (shown == (first.kinds != "wrong_pose")).all()  # that body is a sound one
    monkeypatch.setattr(body_crops, "draw_body", lambda seed: None)
    again = stored_crops(range(40), folder=tmp_path, vae=SD_DIR / "vae")
    assert np.array_equal(first.faulty, again.faulty)


def test_a_round_trip_gives_nearly_the_same_picture() -> None:
    image = render_scene(3, size_px=128, people=1).image
    (passed,) = RoundTrip(SD_DIR / "vae")([image])
    difference = np.abs(passed.astype(int) - image.astype(int)).mean()
    assert 0.1 < difference < 8.0
    assert (passed.shape, passed.dtype) == (image.shape, image.dtype)
