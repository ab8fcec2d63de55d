"""Drawn scenes that several tests of the embedded models share."""

import pytest

from demo.world.scene_store import DrawnScenes, draw_scenes, training_seeds


@pytest.fixture(scope="module")
def scenes() -> DrawnScenes:
    """The first twelve training scenes."""
    return draw_scenes(training_seeds(12))
