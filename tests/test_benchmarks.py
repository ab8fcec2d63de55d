"""Each benchmark starts as ``make bench`` starts it; what they measure is theirs to show."""

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import gpu
from benchmarks.output import QUICK_RESULTS, RESULTS, finish, options
from benchmarks.quick import figures
from hcp.training.methods.names import METHODS

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


def test_a_card_is_measured_until_its_memory_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    def steps(
        name: str, method: str, plan: gpu.Plan, *, batch_size: int, counted: bool
    ) -> dict[str, float]:
        if batch_size > 4:
            raise torch.OutOfMemoryError
        return {"images_per_s": batch_size * 2.0} | ({"operations": 1e12} if counted else {})

    monkeypatch.setattr(gpu, "measured_batch", steps)
    plan = gpu.Plan(device=torch.device("cpu"), precision="bfloat16", quick=True)
    rows = gpu.measured("sd15", "hcp", plan, peak=16.0)
    assert [row["batch"] for row in rows] == [1, 2, 4, 8]
    assert [row.get("share_of_peak") for row in rows] == [0.125, 0.25, 0.5, None]
    assert rows[-1] == {"batch": 8, "out_of_memory": True}


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["sd15", "sdxl"])
def test_the_gpu_benchmark_runs_anywhere(layout: str, tmp_path: Path) -> None:
    out = tmp_path / "gpu.json"
    command = [sys.executable, "-m", "benchmarks.gpu", "--device", "cpu", "--quick", "--out",
               str(out), "--layouts", layout, "--max-batch", "1"]  # fmt: skip
    subprocess.run(command, cwd=ROOT, check=True, timeout=280)
    found = json.loads(out.read_text())
    assert found["settings"]["tiny"]
    methods = found["bases"][layout]
    assert set(methods) == set(METHODS)
    for (row,) in methods.values():
        assert row["images_per_s"] > 0
        assert 0 < row["share_of_peak"] < 1
        assert row["peak_memory_mib"] > 1
