"""The command line of the trainings."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest

from demo.train.command import run_training
from demo.train.schedule import Budget


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    seed: int = 1
    scenes: int = 50


def train(
    config: Training, budget: Budget, *, work: Path, out: Path, threads: int
) -> dict[str, Any]:
    out.mkdir()
    return {**asdict(config), "steps": budget.steps, "work": str(work), "threads": threads}


def record(monkeypatch: pytest.MonkeyPatch, out: Path, *options: str) -> dict[str, Any]:
    monkeypatch.setattr("sys.argv", ["train_pose", "--out", str(out), *options])
    run_training(train, Training, kind="pose", minutes=25.0, about="trains")
    return json.loads((out / "TRAINING.json").read_text())


def test_the_record_stands_beside_the_weights(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    options = ("--seed", "3", "--steps", "7", "--minutes", "2.5", "--threads", "2", "--work", "w")
    assert record(monkeypatch, tmp_path / "out", *options) == {
        "seed": 3, "scenes": 50, "steps": 7, "work": "w", "threads": 2,
        "command": "python -m demo.train.pose --minutes 2.5",
    }  # fmt: skip


def test_nothing_given_is_the_configs_defaults(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = record(monkeypatch, tmp_path / "out")
    assert (found["seed"], found["scenes"], found["threads"]) == (1, 50, 1)
    assert found["command"].endswith("--minutes 25")
