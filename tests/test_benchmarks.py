"""Each benchmark starts as ``make bench`` starts it; what they measure is theirs to show."""

import importlib
import json
import re
from pathlib import Path

import pytest

from benchmarks.output import QUICK_RESULTS, RESULTS, finish, options
from benchmarks.quick import figures

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
    figures = json.loads((RESULTS / f"{script.stem.removeprefix('bench_')}.json").read_text())
    assert not figures.get("quick")


def test_a_quick_run_leaves_the_committed_figures_alone(tmp_path: Path) -> None:
    assert RESULTS not in (QUICK_RESULTS, *QUICK_RESULTS.parents)
    given = options(None, "any").parse_args(["--quick", "--out", str(tmp_path / "any.json")])
    finish(given, {"rows": [{"name": "a", "score": 0.5}], "runs": [{"kills": 1}]}, [])
    written = json.loads((tmp_path / "any.json").read_text())
    assert written["quick"] is True
    assert dict(figures(written)) == {"rows.0.score": 0.5}
