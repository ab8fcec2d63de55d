"""Names of runs say what runs, on which version, with which settings."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from flows import run_names
from flows.params import (
    AblateParams,
    CacheParams,
    EvaluateParams,
    EvaluateSettings,
    RebuildAndTrainParams,
    RebuildParams,
    RetryParams,
    TrainParams,
)
from flows.run_names import changes, place, rebuild_title, train_title
from hcp.config import HcpConfig
from hcp.training.config import TrainConfig

VERSION = "0123456789abcdef"
SD = "stable-diffusion-v1-5/stable-diffusion-v1-5"
REBUILD = RebuildParams(source="s3://team/photos/2026", root="/data/hcp")
TRAIN = TrainParams(dataset=f"/data/hcp@{VERSION}", base=SD, out="/runs")
JUDGED = EvaluateSettings(base=SD, out="/reports", dataset="/data/hcp")
CHECKED = EvaluateParams(
    **JUDGED.model_dump(), checkpoint=f"/runs/adapters/{VERSION * 4}"
)  # fmt: skip


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    def name(make: Callable[[], str], **given: Any) -> str:
        monkeypatch.setattr(run_names.flow_run, "get_parameters", lambda: given, raising=False)
        monkeypatch.setattr(run_names.flow_run, "get_name", lambda: "calm-owl", raising=False)
        return make()

    return name


def test_each_flow_says_what_it_runs(named: Callable[..., str]) -> None:
    assert named(run_names.rebuild_name, params=REBUILD) == (
        "data/hcp from photos/2026: yolo11n-pose, sam_vit_h"
    )
    retry = RetryParams(**REBUILD.model_dump(), reasons=("unreadable",))
    assert (
        named(run_names.retry_name, params=retry) == "data/hcp from photos/2026 again: unreadable"
    )
    cache = CacheParams(dataset="/data/hcp", base="/models/base.safetensors")
    assert named(run_names.cache_name, params=cache) == "data/hcp for base"
    assert named(run_names.train_name, params=TRAIN, dataset=None) == (
        "data/hcp@01234567 on stable-diffusion-v1-5: hcp, 2000 steps"
    )
    assert named(run_names.evaluate_name, params=CHECKED) == (
        "adapters/01234567 on stable-diffusion-v1-5, photos of data/hcp"
    )
    both = RebuildAndTrainParams(rebuild=REBUILD, train=TRAIN.model_dump(exclude={"dataset"}),
                                 evaluate=JUDGED)  # fmt: skip
    assert named(run_names.pipeline_name, params=both) == (
        "data/hcp from photos/2026, then on stable-diffusion-v1-5: hcp, 2000 steps"
    )
    ablate = AblateParams(train=TRAIN, evaluate=JUDGED, questions=("loss",), seeds=(0, 1))
    assert named(run_names.ablate_name, params=ablate) == (
        "data/hcp@01234567 on stable-diffusion-v1-5: loss, 2000 steps, 2 seeds"
    )


def test_the_version_that_an_event_names_counts(named: Callable[..., str]) -> None:
    name = named(run_names.train_name, params=TRAIN, dataset="/data/hcp@fedcba9876543210")
    assert name.startswith("data/hcp@fedcba98 on ")


def test_a_version_that_is_known_later_stands_in_the_name() -> None:
    assert rebuild_title(REBUILD, VERSION).startswith("data/hcp@01234567 from photos/2026")


def test_settings_that_are_not_the_default_are_said() -> None:
    training = TrainConfig(
        method="lora", steps=5, seed=3, learning_rate=5e-5, batch_size=2,
        hcp=HcpConfig(width=64, stages=("up",)),
    )  # fmt: skip
    name = train_title(TRAIN.model_copy(update={"training": training}), TRAIN.dataset)
    assert name.endswith(
        ": lora, 5 steps, seed 3, batch_size 2, learning_rate 5e-05, hcp.width 64, 1 more settings"
    )
    assert dict(changes(training, TrainConfig()))["hcp.stages"] == "up"
    assert list(changes(replace(training), training)) == []


def test_what_cannot_be_named_keeps_the_name_that_it_has(named: Callable[..., str]) -> None:
    assert named(run_names.rebuild_name) == "calm-owl"
    assert named(run_names.rebuild_name, params=None) == "calm-owl"


def test_a_name_has_an_end(named: Callable[..., str]) -> None:
    long = REBUILD.model_copy(update={"source": "/" + "x" * 500})
    assert len(named(run_names.rebuild_name, params=long)) == run_names.LONGEST


@pytest.mark.parametrize(
    ("uri", "said"),
    [("/a/b/c", "b/c"), ("s3://bucket", "bucket"), ("gs://b/x/", "b/x"), ("/", "/"), ("c", "c")],
)
def test_places_in_short(uri: str, said: str) -> None:
    assert place(uri) == said
