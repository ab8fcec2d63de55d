"""What a training is told: budgets, learning rate, the one command line."""

from pathlib import Path

import pytest
import torch

from demo.train.command import Budget, Recipe, Run, Team, learning_rate, read_command

RECIPE = Recipe(seed=5, scenes=50, peak_learning_rate=2e-3)
RUN = Run(name="pose", budget=Budget(minutes=25.0), work=Path("work"), out=Path("weights"))


def test_progress_is_the_larger_share() -> None:
    budget = Budget(steps=100, minutes=2)
    assert budget.progress(25, 12.0) == 0.25
    assert budget.progress(25, 60.0) == 0.5
    assert budget.progress(101, 0.0) == 1.0
    assert budget.progress(0, 1e9) == 1.0
    assert Budget(steps=100).progress(25, 1e9) == 0.25
    assert Budget(minutes=2).progress(10**9, 60.0) == 0.5


def test_the_record_says_what_ended_the_run() -> None:
    budget = Budget(steps=100, minutes=2)
    used = {"steps": 100, "processor_minutes": 1.5, "ended_by": "steps"}
    assert budget.record(100, 90.0) == used
    assert budget.record(99, 121.0) == {
        "steps": 99, "processor_minutes": 2.0, "ended_by": "minutes"
    }  # fmt: skip


@pytest.mark.parametrize(("steps", "minutes"), [(0, 1.0), (5, 0.0), (None, None)])
def test_a_budget_of_nothing_is_refused(steps: int | None, minutes: float | None) -> None:
    with pytest.raises(ValueError, match="positive"):
        Budget(steps=steps, minutes=minutes)


def test_learning_rate_rises_then_falls() -> None:
    rates = [learning_rate(p / 100) for p in range(101)]
    assert rates[0] < 0.05
    assert max(rates) == pytest.approx(1.0, abs=1e-3)
    assert rates[3:] == sorted(rates[3:], reverse=True)
    assert rates[-1] == pytest.approx(0.01)


def test_nothing_given_is_the_defaults() -> None:
    recipe, run = read_command([], recipe=RECIPE, run=RUN, about="trains")
    assert recipe == RECIPE
    assert (run.budget, run.work, run.out, run.team) == (RUN.budget, RUN.work, RUN.out, Team())
    assert run.command == "python -m demo.train.pose --minutes 25"
    assert (run.checkpoint, run.log) == (Path("work/pose.pt"), Path("work/pose.jsonl"))


def test_options_reach_the_recipe_and_the_run() -> None:
    threads = torch.get_num_threads()
    options = (
        "--seed 3 --scenes 9 --batch-size 4 --peak-learning-rate 0.5 --steps 7 --threads 2 "
        "--checkpoint-minutes 2 --work w --out o"
    )
    recipe, run = read_command(options.split(), recipe=RECIPE, run=RUN, about=None)
    assert torch.get_num_threads() == 2
    torch.set_num_threads(threads)
    assert recipe == Recipe(seed=3, scenes=9, batch_size=4, peak_learning_rate=0.5)
    assert run.budget == Budget(steps=7)  # steps alone: a run that can be repeated
    assert (run.work, run.out, run.checkpoint_every_s) == (Path("w"), Path("o"), 120.0)
    assert run.command == (
        "python -m demo.train.pose --steps 7 --seed 3 --scenes 9 --batch-size 4 "
        "--peak-learning-rate 0.5"
    )
