"""Drawn scenes that several tests of the embedded models share."""

from pathlib import Path

import pytest

from demo.world.scene_store import DrawnScenes, stored_scenes, training_seeds


@pytest.fixture(scope="session")
def scene_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that holds the first twelve training scenes, and what tests add."""
    return tmp_path_factory.mktemp("scenes")


@pytest.fixture(scope="session")
def scenes(scene_folder: Path) -> DrawnScenes:
    """The first twelve training scenes."""
    return stored_scenes(training_seeds(12), folder=scene_folder)
