"""Fixtures that several packages' tests share."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def assets() -> Path:
    """The folder of real photos and weights; the test is skipped where it is absent."""
    root = Path(os.environ.get("HCP_ASSETS", Path(__file__).parents[2] / "shared" / "assets"))
    if not (root / "index.json").is_file():
        pytest.skip(f"real photos not found: {root} (set HCP_ASSETS)")
    return root
