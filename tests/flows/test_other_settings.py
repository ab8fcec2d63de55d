"""Flows with conflicting settings on one root are told of each other."""

from dataclasses import replace
from pathlib import Path

import pytest

from flows.other_settings import other_settings
from flows.params import RebuildParams
from priors.config import ExtractorConfig, PoolConfig
from priors.gate import GateConfig
from storage.layout import Root
from storage.locations import write_atomic

EXTRACTOR = ExtractorConfig(pose_model="a.pt", mask_model="b.pt")


@pytest.fixture
def params(tmp_path: Path) -> RebuildParams:
    return RebuildParams(source=str(tmp_path / "photos"), root=str(tmp_path), extractor=EXTRACTOR)


def rebuilt(params: RebuildParams) -> None:
    write_atomic(Root.of(params.root).settings, params.model_dump_json().encode())


def test_a_first_rebuild_and_the_same_again_are_fine(params: RebuildParams) -> None:
    assert other_settings(params) is None
    rebuilt(params)
    assert other_settings(params) is None


@pytest.mark.parametrize(
    "own",
    [
        {"extractor": replace(EXTRACTOR, batch_size=2, half=False)}, {"device": "cuda"},
        {"workers": PoolConfig(count=7)}, {"ray_address": "head:6379"}, {"nodes_wait_s": 3},
    ],
)  # fmt: skip
def test_how_and_where_it_is_computed_is_no_conflict(
    params: RebuildParams, own: dict[str, object]
) -> None:
    rebuilt(params)
    assert other_settings(params.model_copy(update=own)) is None


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({"source": "/other"}, 'photos", is "/other"'),
        ({"extractor": replace(EXTRACTOR, imgsz=320)}, "extractor.imgsz was 640, is 320"),
        ({"gate": GateConfig(max_people=3)}, "gate.max_people was "),
        ({"extractor": replace(EXTRACTOR, half=True)}, "extractor.half was false, is true"),
        ({"unit_size": 10}, "unit_size was 1000, is 10"),
        ({"duplicates": "exact"}, 'duplicates was "keep", is "exact"'),
    ],
)
def test_other_data_is_told_of_with_what_to_do(
    params: RebuildParams, own: dict[str, object], said: str
) -> None:
    rebuilt(params)
    told = other_settings(params.model_copy(update=own))
    assert told is not None
    assert said in told
    assert "a root of its own" in told


def test_a_file_that_cannot_be_read_says_nothing(params: RebuildParams) -> None:
    write_atomic(Root.of(params.root).settings, b"{not json")
    assert other_settings(params) is None
