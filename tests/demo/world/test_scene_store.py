"""Drawn scenes as arrays: as rendered, stored once, drawn again when the renderer changes."""

from pathlib import Path

import numpy as np
import pytest

from demo.world import scene_store
from demo.world.scene_store import (
    SIZE_PX,
    draw_scenes,
    held_out_seeds,
    stored_scenes,
    training_seeds,
)
from demo.world.scenes import render_scene


def test_training_and_held_out_seeds_do_not_meet() -> None:
    assert not set(training_seeds(100_000)) & set(held_out_seeds(100_000))


def test_people_are_those_of_their_scenes() -> None:
    seeds = training_seeds(6)
    scenes = draw_scenes(seeds)
    for index, seed in enumerate(seeds):
        drawn = render_scene(seed, size_px=SIZE_PX)
        assert np.array_equal(scenes.images[index], drawn.image)
        assert scenes.captions[index] == drawn.caption
        people = [p for p in drawn.people if p.mask.any()]
        rows = scenes.people_of(index)
        assert len(rows) == len(people)
        for row, person in zip(rows, people, strict=True):
            assert np.array_equal(scenes.mask(row), person.mask)
            assert np.allclose(scenes.keypoints[row], person.keypoints, atol=1e-3)
            assert np.allclose(scenes.boxes[row], person.bbox_xyxy_px)


def test_stored_scenes_are_drawn_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seeds = training_seeds(3)
    first = stored_scenes(seeds, folder=tmp_path)
    monkeypatch.setitem(scene_store.WORLDS, "people", None)  # drawing again would fail
    again = stored_scenes(seeds, folder=tmp_path)
    assert np.array_equal(again.images, first.images)
    assert np.array_equal(again.packed_masks, first.packed_masks)
    monkeypatch.undo()
    assert np.array_equal(again.images, draw_scenes(seeds).images)


def test_many_scenes_are_drawn_on_all_cores_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scene_store, "_CHUNK", 1)
    seeds = training_seeds(10)
    parallel = stored_scenes(seeds, folder=tmp_path, size_px=64)
    monkeypatch.undo()
    alone = draw_scenes(seeds, size_px=64)
    for name in ("images", "captions", "scene_of", "keypoints", "boxes", "packed_masks"):
        assert np.array_equal(getattr(parallel, name), getattr(alone, name)), name


def test_a_changed_renderer_draws_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored_scenes(training_seeds(1), folder=tmp_path, size_px=64)
    monkeypatch.setattr(scene_store, "renderer_digest", lambda: "other")
    stored_scenes(training_seeds(1), folder=tmp_path, size_px=64)
    assert len(list(tmp_path.glob("*.npz"))) == 2
