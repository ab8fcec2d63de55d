"""A short run for tests of the trainings."""

from pathlib import Path

from demo.train.command import Budget, Run


def a_run(folder: Path, *, name: str, steps: int = 4) -> Run:
    """``steps`` steps, with files below the folder."""
    return Run(name=name, budget=Budget(steps=steps), work=folder, out=folder / "out")
