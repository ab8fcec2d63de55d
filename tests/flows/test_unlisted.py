"""Folders that cannot be listed: an error of the rebuild, or named in its version."""

import shutil
from pathlib import Path

import pytest

from demo.embedded import POSE_PX
from flows import rebuild_dataset
from flows.params import RebuildParams
from storage.errors import SourceError
from storage.sources.listing import MAX_DEPTH
from storage.versions import open_version

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.mark.prefect
def test_skipped_folders_stand_in_the_version(prefect_api: str, tmp_path: Path) -> None:
    photos, data = tmp_path / "photos", tmp_path / "data"
    shutil.copytree(GOLDEN / "photos", photos)
    shutil.copytree(GOLDEN / "data", data)  # all units are committed: no model is run
    deep = "/".join("d" * (MAX_DEPTH + 1))
    (photos / deep).mkdir(parents=True)  # nobody may list this one, not even root
    params = RebuildParams.model_validate(
        {
            "source": str(photos),
            "root": str(data),
            "unit_size": 6,
            "extractor": {"pose_model": "embedded", "mask_model": "embedded", "imgsz": POSE_PX},
        }
    )
    with pytest.raises(SourceError, match="--skip-unlisted"):
        rebuild_dataset(params)
    before = open_version(data)
    skipping = params.model_copy(update={"skip_unlisted": True})
    version = open_version(data, rebuild_dataset(skipping))
    assert version.config["unlisted"] == [deep]
    assert {k: v for k, v in version.config.items() if k != "unlisted"} == before.config
    shutil.rmtree(photos / "d")
    assert rebuild_dataset(skipping) == before.id
