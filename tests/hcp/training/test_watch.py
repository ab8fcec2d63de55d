"""A training that is looked at: when, by whom, and that it goes on as if it were not."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hcp import HcpConfig
from hcp.training.checkpoints import CheckpointFolder
from hcp.training.config import DataConfig, TrainConfig
from hcp.training.watching import SampleGrid, SamplesConfig, Validation, ValidationConfig, due
from hcp.training.worker import Place, TrainJob, train_worker
from storage.versions import DatasetVersion
from tests.hcp.training.rank_process import start_ranks

UNSEEN = TrainConfig(
    steps=4,
    batch_size=2,
    learning_rate=1e-3,
    warmup_steps=2,
    ema_decay=0.9,
    checkpoint_every=3,
    data=DataConfig(resolution_px=32, caption_dropout=0.2, decode_threads=1),
    hcp=HcpConfig(width=16),
    validation=ValidationConfig(every=None),
)
SEEN = replace(
    UNSEEN,
    validation=ValidationConfig(every=2, photos=3, noise_levels=(0.1, 0.7)),
    samples=SamplesConfig(every=4, prompts=("a woman doing yoga",), seeds=(0,), steps=1),
)

Told = list[tuple[str, Any]]


@pytest.fixture
def make_job(
    make_dataset: Callable[..., DatasetVersion], base: str, tmp_path: Path
) -> Callable[..., TrainJob]:
    def make(config: TrainConfig, name: str, *, n_val: int = 3) -> TrainJob:
        dataset = make_dataset(1, 8, n_val)
        return TrainJob(
            config=config, root=dataset.root.uri, version=dataset.id, base=base,
            run=str(tmp_path / name),
        )  # fmt: skip

    return make


def trained(job: TrainJob) -> Told:
    told: Told = []
    end = train_worker(job, Place(), lambda kind, value: told.append((kind, value)))
    assert end.error is None
    return told


def losses(told: Told) -> list[float]:
    return [value["loss"] for kind, value in told if kind == "step"]


def seen(told: Told, kind: type) -> dict[int, Any]:
    return {value.step: value for what, value in told if what == "seen" and type(value) is kind}


def test_what_is_seen_is_told_in_its_turn_and_changes_no_loss(
    make_job: Callable[..., TrainJob],
) -> None:
    told = trained(make_job(SEEN, "seen"))
    assert losses(told) == losses(trained(make_job(UNSEEN, "unseen")))
    validations, grids = seen(told, Validation), seen(told, SampleGrid)
    assert list(grids) == [0, 4]
    assert list(validations) == [0, 2, 3, 4]  # 3 is the checkpoint's
    order = [value["step"] if kind == "step" else value.step for kind, value in told]
    assert order == sorted(order)
    kept = CheckpointFolder(make_job(SEEN, "seen").run).finished()
    assert {each.step: each.validation_loss for each in kept} == {
        step: validations[step].loss for step in (3, 4)
    }


def test_a_resumed_run_looks_where_it_goes_on(make_job: Callable[..., TrainJob]) -> None:
    whole = seen(trained(make_job(SEEN, "whole")), Validation)
    trained(make_job(replace(SEEN, steps=3), "parts"))
    rest = seen(trained(make_job(SEEN, "parts")), Validation)
    assert list(rest) == [4]
    assert rest[4] == whole[4]


def test_a_dataset_without_held_out_photos_trains_all_the_same(
    make_job: Callable[..., TrainJob], caplog: pytest.LogCaptureFixture
) -> None:
    told = trained(make_job(SEEN, "none", n_val=0))
    assert len(losses(told)) == 4
    assert not seen(told, Validation)
    assert caplog.text.count("nothing is validated") == 1


@pytest.mark.slow
def test_two_workers_have_the_numbers_of_one(
    make_job: Callable[..., TrainJob], tmp_path: Path
) -> None:
    """At step 0; later the weights differ by the gradients' rounding."""

    def first(world_size: int) -> dict[str, Any]:
        folder = tmp_path / str(world_size)
        config = replace(SEEN, steps=1, accumulate=3 - world_size)
        ranks = start_ranks(make_job(config, f"run-{world_size}"), folder, world_size=world_size)
        assert ranks.end().error is None
        lines = (folder / "seen.jsonl").read_text().splitlines()
        return json.loads(lines[0])

    one = first(1)
    assert one == first(2)
    assert one["photos"] == 3


def test_when_something_is_due() -> None:
    assert [step for step in range(8) if due(3, step, last=7)] == [0, 3, 6, 7]
    assert not any(due(every, step, last=7) for every in (0, None) for step in range(8))
