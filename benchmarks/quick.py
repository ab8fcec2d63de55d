"""Every benchmark at its quick size, each figure beside the committed one: ``make bench-quick``.

Rates, shares and qualities compare; sizes and totals differ where the quick size is smaller.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from time import perf_counter
from typing import Any

from benchmarks.output import QUICK_RESULTS, RESULTS, ROOT

LEFT_OUT = ("environment", "settings", "targets", "runs", "quick")


def main() -> None:
    """Run all of them, or those named, then print one table; a failure ends it."""
    scripts = sorted((ROOT / "benchmarks").glob("bench_*.py"))
    names = sys.argv[1:] or [script.stem.removeprefix("bench_") for script in scripts]
    for name in names:
        start = perf_counter()
        (QUICK_RESULTS / f"{name}.json").unlink(missing_ok=True)
        subprocess.run([sys.executable, "-m", f"benchmarks.bench_{name}", "--quick"], check=True)
        print(f"-- {name}: {perf_counter() - start:.0f} s\n")
    print(f"{'figure':68} {'committed':>12} {'quick':>12} {'ratio':>7}")
    for name in names:
        both = [folder / f"{name}.json" for folder in (RESULTS, QUICK_RESULTS)]
        if not both[1].is_file():  # left out: no photos here
            continue
        committed, quick = (dict(figures(json.loads(path.read_text()))) for path in both)
        for figure, value in committed.items():
            if figure in quick:
                ratio = f"{quick[figure] / value:.2f}" if value else ""
                print(f"{f'{name}.{figure}':68} {value:12g} {quick[figure]:12g} {ratio:>7}")


def figures(node: Any, path: str = "") -> Iterator[tuple[str, float]]:
    """The numbers of a result with their paths, without what describes the run."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key not in LEFT_OUT:
                yield from figures(value, f"{path}.{key}" if path else key)
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from figures(value, f"{path}.{index}")
    elif isinstance(node, int | float):
        yield path, float(node)


if __name__ == "__main__":
    main()
