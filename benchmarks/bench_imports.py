"""How long imports take: ours beside those of diffusers' own pipeline, and the command line.

Each in a process of its own, in turns, so that a busy machine slows all of them. The ratio is of
processor seconds, the median over neighbouring runs. Run: ``python -m benchmarks.bench_imports``.
"""

import resource
import statistics
import subprocess
import sys
from time import perf_counter
from typing import Any

from benchmarks.measure import summary
from benchmarks.output import ROOT, finish, options

COMMANDS = {
    "hcp": ("-c", "import hcp; from hcp import HcpAdapter"),
    "diffusers": ("-c", "from diffusers import StableDiffusionPipeline"),
    "tokens": ("-c", "import hcp.tokens"),
    "flows": ("-c", "import flows"),
    "help": ("-m", "flows.cli", "--help"),
}


def seconds_of(arguments: tuple[str, ...]) -> tuple[float, float]:
    """Wall and processor seconds of a Python process."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), perf_counter()
    subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True, capture_output=True)
    wall, after = perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def run(rounds: int) -> dict[str, Any]:
    """Median seconds of each, after one round that fills the disk's cache."""
    wall: dict[str, list[float]] = {name: [] for name in COMMANDS}
    processor: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for number in range(rounds + 1):
        for name, arguments in COMMANDS.items():
            seconds = seconds_of(arguments)
            if number:
                wall[name].append(seconds[0])
                processor[name].append(seconds[1])
    return {
        "wall": {f"{name}_s": round(statistics.median(each), 3) for name, each in wall.items()},
        "processor": summary(processor, "hcp", "diffusers"),
    }


def main() -> None:
    """Run, print a table, write the figures."""
    given = options(__doc__, "imports").parse_args()
    result = run(2 if given.quick else 5)
    wall, processor = result["wall"], result["processor"]
    finish(given, result, [
        ("HcpAdapter / StableDiffusionPipeline", processor["ratio"], "<= 1.05"),
        ("from hcp import HcpAdapter, s", wall["hcp_s"], f"{wall['diffusers_s']:.3f} diffusers"),
        ("import hcp.tokens, s", wall["tokens_s"], ""),
        ("import flows, s", wall["flows_s"], ""),
        ("hcp --help, s", wall["help_s"], "<= 0.5"),
    ])  # fmt: skip


if __name__ == "__main__":
    main()
