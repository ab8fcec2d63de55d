"""Each benchmark starts as ``make bench`` starts it; what they measure is theirs to show."""

import importlib
import re
from pathlib import Path

import pytest

from benchmarks.output import options

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted((ROOT / "benchmarks").glob("bench_*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_benchmark_is_a_module_that_says_how_to_run_it(script: Path) -> None:
    name = f"benchmarks.{script.stem}"
    module = importlib.import_module(name)
    assert callable(module.main)
    assert re.search(rf"python -m\s+{name}", module.__doc__ or "")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_its_figures_are_committed(script: Path) -> None:
    committed = options(None, script.stem.removeprefix("bench_")).parse_args([]).out
    assert committed.is_file()
