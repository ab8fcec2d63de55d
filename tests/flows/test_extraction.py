"""The extraction that parameters describe, and the plan's salt that names its shards."""

import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from demo.embedded import POSE_DIR
from flows.extraction import ExtractorFactory, rebuild_job
from flows.params import RebuildParams
from priors.config import ExtractorConfig
from priors.gate import GateConfig
from priors.planning import config_digest


def weights(folder: Path, value: float) -> str:
    folder.mkdir()
    save_file({"weight": torch.full((2,), value)}, folder / "model.safetensors")
    return str(folder)


@pytest.fixture
def params(tmp_path: Path) -> RebuildParams:
    (tmp_path / "photos").mkdir()
    return RebuildParams(
        source=str(tmp_path / "photos"),
        root=str(tmp_path / "data"),
        extractor=ExtractorConfig(
            pose_model=weights(tmp_path / "pose", 1.0), mask_model=weights(tmp_path / "masks", 2.0)
        ),
    )


def digest(params: RebuildParams) -> str:
    extraction = rebuild_job(params).extraction
    return config_digest(extraction.config, extraction.gate)


def test_places_and_machines_are_not_in_the_digest(params: RebuildParams) -> None:
    first = digest(params)
    machine = replace(params.extractor, batch_size=2, decode_threads=9, trust_weights=True)
    for update in (
        {"root": "s3://bucket/data", "format": "folder", "unit_size": 9},
        {"extractor": machine, "device": "cuda", "ray_address": "ray://head:10001"},
        {"extractor": replace(params.extractor, half=False)},
    ):
        assert digest(params.model_copy(update=update)) == first, update


def test_what_shapes_a_shard_is_in_the_digest(params: RebuildParams, tmp_path: Path) -> None:
    given = params.extractor
    updates = (
        {},
        {"extractor": replace(given, imgsz=320)},
        {"gate": GateConfig(min_keypoints=3)},
        {"extractor": replace(given, pose_model=weights(tmp_path / "other", 3.0))},
        {"extractor": replace(given, mask_model=given.pose_model)},
    )
    digests = [digest(params.model_copy(update=update)) for update in updates]
    assert len(set(digests)) == len(digests)


def test_equal_weights_elsewhere_give_the_same_digest(
    params: RebuildParams, tmp_path: Path
) -> None:
    moved = replace(params.extractor, pose_model=weights(tmp_path / "moved", 1.0))
    assert digest(params.model_copy(update={"extractor": moved})) == digest(params)


def test_names_are_found_and_the_rest_goes_on_as_it_is(params: RebuildParams) -> None:
    given = replace(params.extractor, pose_model="embedded", imgsz=96, half=True)
    update = {"extractor": given, "gate": GateConfig(max_people=3), "device": "cpu"}
    extraction = rebuild_job(params.model_copy(update=update)).extraction
    assert extraction.config == replace(given, pose_model=str(POSE_DIR))
    assert (extraction.gate, extraction.device) == (update["gate"], "cpu")
    assert str(extraction.root) == params.root
    assert extraction.source.root == params.source


def test_a_factory_pickles_as_its_extraction(params: RebuildParams) -> None:
    factory = ExtractorFactory(extraction=rebuild_job(params).extraction)
    assert pickle.loads(pickle.dumps(factory)) == factory


def test_links_out_of_the_source_are_followed_where_that_is_asked_for(
    params: RebuildParams, tmp_path: Path
) -> None:
    """A22: nothing of it shapes a shard: what is read, is what its bytes are."""
    (tmp_path / "blob").write_bytes(b"x")
    (tmp_path / "photos/a.jpg").symlink_to(tmp_path / "blob")
    following = params.model_copy(update={"follow_links": True})
    assert len(list(rebuild_job(following).extraction.source.records())) == 1
    assert digest(following) == digest(params)
