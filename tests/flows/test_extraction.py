"""The extractor that parameters describe, and the digest that names its shards."""

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from demo.embedded import POSE_DIR
from flows.extraction import ExtractorFactory, extraction_digest, extractor_config
from flows.params import RebuildParams
from hcp import tokens
from priors.gate import GateConfig


def weights(folder: Path, value: float) -> str:
    folder.mkdir()
    save_file({"weight": torch.full((2,), value)}, folder / "model.safetensors")
    return str(folder)


@pytest.fixture
def params(tmp_path: Path) -> RebuildParams:
    return RebuildParams(
        source="photos",
        root="data",
        pose_model=weights(tmp_path / "pose", 1.0),
        mask_model=weights(tmp_path / "masks", 2.0),
    )


def test_places_and_machines_are_not_in_the_digest(params: RebuildParams) -> None:
    digest = extraction_digest(params)
    for update in (
        {"source": "elsewhere", "root": "s3://bucket/data", "format": "table"},
        {"batch_size": 2, "actors": 7, "cpus_per_actor": 2.0, "gpus_per_actor": 1.0},
        {"device": "cuda", "ray_address": "ray://head:10001"},
        {"unit_size": 9, "trust_weights": True},
    ):
        assert extraction_digest(params.model_copy(update=update)) == digest, update


def test_what_shapes_a_shard_is_in_the_digest(
    params: RebuildParams, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    updates = (
        {},
        {"image_size_px": 320},
        {"gate": GateConfig(min_keypoints=3)},
        {"pose_model": weights(tmp_path / "other", 3.0)},
        {"mask_model": params.pose_model},
    )
    digests = [extraction_digest(params.model_copy(update=update)) for update in updates]
    monkeypatch.setattr(tokens, "TOKENS_VERSION", tokens.TOKENS_VERSION + 1)
    digests.append(extraction_digest(params))
    assert len(set(digests)) == len(digests)


def test_equal_weights_elsewhere_give_the_same_digest(
    params: RebuildParams, tmp_path: Path
) -> None:
    moved = params.model_copy(update={"pose_model": weights(tmp_path / "moved", 1.0)})
    assert extraction_digest(moved) == extraction_digest(params)


def test_the_config_takes_every_parameter_of_the_extractor(params: RebuildParams) -> None:
    update = {"pose_model": "embedded", "image_size_px": 96, "batch_size": 3}
    config = extractor_config(params.model_copy(update=update))
    assert config.pose_model == str(POSE_DIR)
    assert config.imgsz == 96
    assert (config.batch_size, config.mask_batch_size, config.trust_weights) == (3, 3, False)


def test_a_factory_pickles_as_its_parameters(params: RebuildParams) -> None:
    factory = ExtractorFactory(params=params)
    assert pickle.loads(pickle.dumps(factory)) == factory
