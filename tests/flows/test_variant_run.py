"""A variant is known again by what it was trained on and with, and by how it was judged."""

import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from flows.outcomes import VariantOutcome
from flows.params import EvaluateSettings, TrainParams
from flows.variant_run import (
    RECORD_NAME,
    VariantJob,
    VariantRecord,
    bases_of,
    read_record,
    variant_job,
)
from hcp.evaluation.results import EvaluationConfig
from hcp.training.config import DataConfig, TrainConfig, Workers
from tests.flows.test_train import GOLDEN_STEP
from tests.flows.variant_samples import variant_outcome

BASES = {"train": "one", "evaluate": "two", "judges": "three"}
TRAIN = TrainParams(dataset="/data@v1", base="embedded", out="/runs")
EVALUATE = EvaluateSettings(base="embedded", out="/report", dataset="/data@v1")


def job(
    train: TrainParams = TRAIN,
    evaluate: EvaluateSettings = EVALUATE,
    bases: dict[str, str] = BASES,
    seed: int | None = None,
) -> VariantJob:
    return variant_job("gate-zero", seed, train=train, evaluate=evaluate, bases=bases)


@pytest.fixture(autouse=True)
def outside_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.variant_run.get_run_logger", lambda: logging.getLogger("test"))


def test_each_variant_and_seed_has_a_folder_of_its_own() -> None:
    assert job().train.out == "/runs/gate-zero"
    assert job().evaluate.out == "/runs/gate-zero/report"
    assert job(seed=2).train.out == "/runs/gate-zero/seed-2"
    assert (job().title, job(seed=2).title) == ("gate-zero", "gate-zero, seed 2")


@pytest.mark.parametrize(
    "changed",
    [
        job(TRAIN.model_copy(update={"training": TrainConfig(steps=3)})),
        job(TRAIN.model_copy(update={"training": TrainConfig(data=DataConfig(aspects=(1.0, 2)))})),
        job(TRAIN.model_copy(update={"dataset": "/data@v2"})),
        job(TRAIN.model_copy(update={"workers": Workers(count=2)})),
        job(TRAIN.model_copy(update={"export": "float32"})),
        job(bases={**BASES, "train": "other"}),
    ],
)
def test_another_training_is_trained_again(changed: VariantJob) -> None:
    assert changed.train_digest != job().train_digest
    assert changed.digest != job().digest


def test_another_way_to_judge_is_only_judged_again(tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a man")
    asked = EVALUATE.model_copy(update={"prompts": str(prompts)})
    settings = {"steps": 9}
    found = [
        job(),
        job(evaluate=asked),
        job(evaluate=EVALUATE.model_copy(update={"evaluation": EvaluationConfig(**settings)})),
        job(evaluate=EVALUATE.model_copy(update={"dataset": "/data@v2"})),
        job(bases={**BASES, "evaluate": "other"}),
    ]
    before = job(evaluate=asked).digest
    prompts.write_text("a woman")
    assert job(evaluate=asked).digest != before
    assert {each.train_digest for each in found} == {job().train_digest}
    assert len({each.digest for each in found}) == len(found)


def test_where_it_runs_and_what_it_keeps_changes_nothing() -> None:
    train = TRAIN.model_copy(
        update={"out": "/other", "ray_address": "x", "parent_run": "y", "registry": "z",
                "training": TrainConfig(tensorboard=True), "workers": Workers(cpus_each=2)}
    )  # fmt: skip
    evaluate = EVALUATE.model_copy(
        update={"ray_address": "x", "gpus": 0.5, "base_pictures": "/b", "registry": "z"}
    )
    moved = job(train, evaluate)
    assert (moved.train_digest, moved.digest) == (job().train_digest, job().digest)


def finished(tmp_path: Path) -> tuple[VariantJob, VariantOutcome]:
    """A variant whose adapter and report lie in its folder, with its record."""
    mine = job(TRAIN.model_copy(update={"out": str(tmp_path)}))
    folder = tmp_path / "gate-zero"
    shutil.copytree(GOLDEN_STEP, folder / "adapter")
    (folder / "report.html").write_text("")
    made = variant_outcome("gate-zero", [0.5] * 6)
    outcome = made.model_copy(
        update={
            "train": made.train.model_copy(update={"adapter": str(folder / "adapter")}),
            "evaluation": made.evaluation.model_copy(
                update={"report": str(folder / "report.html")}
            ),
        }
    )
    record = VariantRecord(
        train_digest=mine.train_digest, trained=outcome.train, digest=mine.digest,
        evaluation=outcome.evaluation,
    )  # fmt: skip
    (folder / RECORD_NAME).write_text(record.model_dump_json())
    return mine, outcome


def test_a_finished_variant_is_found_as_it_was(tmp_path: Path) -> None:
    mine, outcome = finished(tmp_path)
    known = read_record(mine)
    assert known is not None
    assert (known.trained, known.evaluation) == (outcome.train, outcome.evaluation)


def test_what_is_there_no_more_is_done_again(tmp_path: Path) -> None:
    mine, outcome = finished(tmp_path)
    Path(outcome.evaluation.report).unlink()
    known = read_record(mine)
    assert known is not None
    assert (known.trained, known.evaluation) == (outcome.train, None)
    card = Path(outcome.train.adapter) / "adapter_config.json"
    card.write_bytes(card.read_bytes() + b" ")
    assert read_record(mine) == VariantRecord(train_digest=mine.train_digest)


def test_judged_otherwise_it_keeps_its_training(tmp_path: Path) -> None:
    mine, outcome = finished(tmp_path)
    known = read_record(replace(mine, digest="other"))
    assert known is not None
    assert (known.trained, known.evaluation) == (outcome.train, None)


def test_another_training_of_the_same_name_does_not_count(tmp_path: Path) -> None:
    mine, _ = finished(tmp_path)
    assert read_record(replace(mine, train_digest="other")) is None


@pytest.mark.parametrize("content", ["", "{}", json.dumps({"train_digest": 3})])
def test_a_broken_record_does_not_count(tmp_path: Path, content: str) -> None:
    mine, _ = finished(tmp_path)
    (tmp_path / "gate-zero" / RECORD_NAME).write_text(content)
    assert read_record(mine) is None


def test_a_base_that_only_the_workers_see_counts_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    elsewhere = EVALUATE.model_copy(update={"base": "nobody/base-that-is-not-here"})
    found = bases_of(TRAIN, elsewhere)
    assert found["evaluate"] == "nobody/base-that-is-not-here"
    assert len(found["train"]) == 32


def test_other_weights_under_a_judges_name_judge_again(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(1)}, tmp_path / "model.safetensors")
    own = EVALUATE.model_copy(update={"bodies": str(tmp_path)})
    before = bases_of(TRAIN, own)
    assert bases_of(TRAIN, own) == before
    save_file({"weight": torch.ones(1)}, tmp_path / "model.safetensors")
    after = bases_of(TRAIN, own)
    assert after["judges"] != before["judges"]
    jobs = [
        variant_job("gate-zero", None, train=TRAIN, evaluate=own, bases=bases)
        for bases in (before, after)
    ]
    assert jobs[0].train_digest == jobs[1].train_digest
    assert jobs[0].digest != jobs[1].digest
