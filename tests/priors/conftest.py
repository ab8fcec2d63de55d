"""Stub models on the import path, and photos that they understand as a fixture."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from priors_stubs import write_photos

from storage.sources import Source, resolve_source


@pytest.fixture
def photos(tmp_path: Path) -> Callable[[Sequence[int]], Source]:
    """Write photos of these commands and open them as a source."""

    def make(commands: Sequence[int]) -> Source:
        write_photos(tmp_path / "photos", commands)
        return resolve_source(str(tmp_path / "photos"), format="folder")

    return make
