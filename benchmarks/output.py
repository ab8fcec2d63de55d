"""What all benchmarks end in: a table on the screen, and a JSON file with the environment."""

import argparse
import json
import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

LIBRARIES = (
    "torch", "diffusers", "peft", "ultralytics", "pycocotools", "ray", "prefect", "pyarrow",
)  # fmt: skip
ROOT = Path(__file__).parents[1]
RESULTS, QUICK_RESULTS = ROOT / "benchmarks" / "results", ROOT / "out" / "bench-quick"
ASSETS = Path(os.environ.get("HCP_ASSETS", ROOT.parent / "shared" / "assets"))
"""Real photos and weights."""


def options(doc: str | None, name: str) -> argparse.ArgumentParser:
    """A parser with ``--quick`` and ``--out``: the committed file, and not that of a quick run."""
    parser = argparse.ArgumentParser(description=doc)
    parser.set_defaults(name=name)
    parser.add_argument("--out", type=Path, help="the figures, as JSON")
    parser.add_argument("--quick", action="store_true", help="a tiny size: a try, no measurement")
    return parser


def finish(
    given: argparse.Namespace, result: dict[str, Any], rows: Sequence[tuple[str, object, str]]
) -> None:
    """Write the result with its environment, and print rows of (measure, value, target)."""
    result["quick"] = given.quick
    result["environment"] = {
        "cores": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 1),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in LIBRARIES},
    }
    out = given.out or (QUICK_RESULTS if given.quick else RESULTS) / f"{given.name}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=1) + "\n")
    print(f"{'measure':44} {'result':>24}  peer or target")
    for name, value, target in rows:
        shown = f"{value:,.3f}" if isinstance(value, float) else f"{value}"
        print(f"{name:44} {shown:>24}  {target}")
