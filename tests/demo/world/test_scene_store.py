"""Drawn scenes as arrays: as rendered, stored once, redrawn when the renderer changes."""

import ast
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

FOLDER = Path(scene_store.__file__).parent


def test_training_and_held_out_seeds_do_not_meet() -> None:
    assert not set(training_seeds(100_000)) & set(held_out_seeds(100_000))


def test_people_are_those_of_their_scenes() -> None:
    seeds = training_seeds(6)
    scenes = draw_scenes(seeds)
    for index, seed in enumerate(seeds):
        drawn = render_scene(seed, size_px=SIZE_PX)
        assert np.array_equal(scenes.images[index], drawn.image)
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
    monkeypatch.setattr(scene_store, "render_scene", None)  # drawing again would fail
    again = stored_scenes(seeds, folder=tmp_path)
    assert np.array_equal(again.images, first.images)
    assert np.array_equal(again.packed_masks, first.packed_masks)
    monkeypatch.undo()
    assert np.array_equal(again.images, draw_scenes(seeds).images)


def test_a_change_of_any_drawing_module_redraws() -> None:
    assert set(scene_store.DRAWING_MODULES) == _imported_by("scenes") | {"scenes"}


def _imported_by(module: str) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse((FOLDER / f"{module}.py").read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("demo"):
            names = (
                [node.module.removeprefix("demo.")]
                if node.module != "demo"
                else [alias.name for alias in node.names]
            )
            for name in names:
                found |= {name} | _imported_by(name)
    return found
