"""The whole comparison on tiny bases of the published layouts; it goes on where it was stopped."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.evidence import plan, training
from benchmarks.evidence.data import drawn_reference
from benchmarks.evidence.export import export
from benchmarks.evidence.job import Job
from benchmarks.evidence.matching import matched, trained_parameters
from benchmarks.evidence.plan import Given, run
from benchmarks.evidence.prompts import (
    REPORTED_FIRST_SEED,
    TUNING_FIRST_SEED,
    drawn_prompts,
    file_prompts,
    scenery,
)
from benchmarks.evidence.settings import FOLDER, EvidenceSettings, read_settings
from benchmarks.evidence.training import trained
from benchmarks.whole_bases import Name, random_base
from flows.cli.settings import merged
from hcp.evaluation.poses import actions_of
from hcp.tokens import human_spans
from hcp.training.methods import load_trained
from hcp.training.run_folder import METRICS_NAME, read_metrics

SIDE_PX = 64
ARMS = ("hcp-paper", "hcp+residual+own", "hcp+residual+pixel", "hcp+residual+pixel-no-loss", "lora",
        "full", "controlnet")  # fmt: skip


def tiny_settings() -> EvidenceSettings:
    settings = read_settings(FOLDER / "embedded.yaml").quick()
    arms = read_settings(FOLDER / "embedded.yaml").arms
    small = {"steps": 3, "checkpoint_every": 1, "batch_size": 2, "hcp": {"width": 16},
             "data": {"resolution_px": SIDE_PX}}  # fmt: skip
    return replace(
        settings, training=merged(settings.training, small), arms={n: arms[n] for n in ARMS},
        seeds=1, prompts=2, others=1, drawing=replace(settings.drawing, batch_size=2),
    )  # fmt: skip


def tiny_base(name: Name, folder: Path) -> str:
    pipeline = random_base(name, device=torch.device("cpu"), dtype=torch.float32, tiny=True)
    pipeline.save_pretrained(folder)
    return str(folder)


def test_widths_and_ranks_are_matched_to_the_nearest_number_of_parameters() -> None:
    pipeline = random_base("sd15", device=torch.device("cpu"), dtype=torch.float32, tiny=True)
    settings = tiny_settings()
    budget = 40_000
    for arm in ("hcp-paper", "hcp+residual+own", "hcp+residual+pixel", "lora"):
        config = settings.train_config(arm, seed=0, changes={})
        found = matched(pipeline, config, budget)
        (part, (field, size)) = next((k, next(iter(v.items()))) for k, v in found.items())
        counts = [
            trained_parameters(
                pipeline, settings.train_config(arm, seed=0, changes={part: {field: size + by}})
            )
            for by in (-1, 0, 1)
        ]
        assert abs(counts[1] - budget) == min(abs(count - budget) for count in counts)
    whole = settings.train_config("full", seed=0, changes={})
    with pytest.raises(ValueError, match="no width and no rank"):
        matched(pipeline, whole, budget)


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["sd15", "sdxl"])
def test_a_base_of_ones_own_is_compared_and_what_was_done_is_not_done_again(
    layout: Name, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = drawn_reference(tmp_path / "photos", 80)
    given = Given(
        base=tiny_base(layout, tmp_path / "base"), dataset=dataset.root.uri,
        settings=tiny_settings(), work=tmp_path / "work", arms=ARMS, judge="embedded",
    )  # fmt: skip
    result, checks, failed = run(given)
    assert not failed
    rows = {row["arm"]: row for row in result["rows"]}
    assert set(rows) == {"base", *ARMS, "drawn", "vae"}
    same, other = rows["hcp-paper"]["parameters"], rows["hcp+residual+pixel"]["parameters"]
    assert same == pytest.approx(other, rel=0.05)
    assert rows["hcp-paper"]["figures"]["identical"]["mean"]["mean"] == 1
    assert rows["drawn"]["figures"]["people_score"]["mean"]["mean"] > 0.3
    assert len(checks) == len(result["checks"]) == 11

    def nothing(*_: Any) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(training, "train_worker", nothing)
    monkeypatch.setattr(training, "train_controlnet", nothing)
    again, _, failed = run(replace(given, export=tmp_path / "adapters"))
    assert not failed
    assert again["rows"] == result["rows"]
    adapter = load_trained(tmp_path / "adapters" / "default")
    assert adapter.card.base_model == given.base
    monkeypatch.setattr(plan, "ADAPTERS_DIR", tmp_path / "adapters")
    judged, _, failed = run(replace(given, judge_only=True, work=tmp_path / "elsewhere"))
    assert not failed
    assert {row["arm"] for row in judged["rows"]} == {
        "base", "hcp+residual+pixel", "lora", "drawn", "vae",
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("arm", ["lora", "controlnet"])
def test_a_training_that_was_killed_goes_on_from_its_last_checkpoint(
    arm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = drawn_reference(tmp_path / "photos", 80)
    settings = tiny_settings()
    given = Given(
        base=tiny_base("sd15", tmp_path / "base"), dataset=dataset.root.uri, settings=settings,
        work=tmp_path / "work", arms=(arm,), judge="embedded",
    )  # fmt: skip
    jobs: list[Job] = []
    monkeypatch.setattr(plan, "run_job", jobs.append)
    with pytest.raises(FileNotFoundError):
        run(given)  # no figures come back from this one
    job = next(job for job in jobs if job.arm == arm)
    at = {"steps": 0}
    step = training.MetricsLog.add

    def killed(log: Any, metrics: Any) -> None:
        at["steps"] += 1
        if at["steps"] == 3:
            raise KeyboardInterrupt
        step(log, metrics)

    with monkeypatch.context() as patch:
        patch.setattr(training.MetricsLog, "add", killed)
        with pytest.raises(KeyboardInterrupt):
            trained(job)
    checkpoint = trained(job)
    assert checkpoint.endswith("step-00000003")
    seen = read_metrics(str(job.folder / METRICS_NAME))
    assert [metrics.step for metrics in seen] == [1, 2, 3]
    with pytest.raises(ValueError, match="hcp\\+residual\\+pixel, seed 0, was not trained"):
        export([job], settings, tmp_path / "adapters", base="embedded")


def test_a_file_of_prompts_leaves_out_what_needs_poses(tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text("a woman jumping in a park\na red car\na man\ntwo men dancing on a stage\n")
    found = file_prompts(str(path), 10, 3)
    asked = [each.prompt for each in found.people]
    assert asked == ["a woman jumping in a park", "two men dancing on a stage"]
    assert found.others[0].prompt == "a red car"
    assert len(found.others) == 3
    assert not found.posed
    assert not found.drawn
    assert {a.seed for a in found.people}.isdisjoint(
        a.seed for a in file_prompts(str(path), 10, 3, tuning=True).people
    )
    path.write_text("a red car\n")
    with pytest.raises(ValueError, match="no prompt names an action"):
        file_prompts(str(path), 10, 3)


def test_drawn_prompts_have_their_own_pictures_and_poses() -> None:
    found = drawn_prompts(REPORTED_FIRST_SEED, 6, 3, size_px=SIDE_PX)
    assert (len(found.people), len(found.others)) == (6, 3)
    assert found.drawn
    assert found.posed
    assert len({each.prompt for each in found.all}) == 9
    assert all(not human_spans(each.prompt) for each in found.others)
    assert all(actions_of(each.prompt) for each in found.people)
    assert all(each.people for each in found.people)
    assert found.digest == drawn_prompts(REPORTED_FIRST_SEED, 6, 3, size_px=SIDE_PX).digest
    assert found.digest != drawn_prompts(TUNING_FIRST_SEED, 6, 3, size_px=SIDE_PX).digest


def test_built_in_prompts_without_people_are_enough_and_name_nobody() -> None:
    found = [each.prompt for each in scenery()]
    assert len(found) == len(set(found)) >= 60
    assert not any(human_spans(prompt) for prompt in found)
