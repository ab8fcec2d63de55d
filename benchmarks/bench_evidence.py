"""Does it draw better people, and nothing else worse? Every method on one loop, judged alike.

Trains each arm with each training seed on the people set, draws held-out prompts with what it
learnt, judges the pictures, and prints the table with intervals over training seeds and prompts,
and the numbers that the project set itself. The peers are the base, LoRA, the whole U-Net, and a
ControlNet that is given the poses. Stopped at any point it goes on there when it is called again.
Run: ``python -m benchmarks.bench_evidence [--quick] [--base B --dataset ROOT[@V]] [--judge-only]``.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.evidence.plan import Given, run
from benchmarks.evidence.table import PEOPLE, REST, arms_lines, figures_lines
from benchmarks.output import RESULTS, finish, options

WORK = RESULTS.parents[1] / "out" / "evidence"


def main() -> None:
    """Run, print the table and the list of numbers, write the figures."""
    parser = _parser()
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = given.work or (Path(temporary) if given.quick else WORK)
        try:
            asked = Given.of(given, work.resolve())
        except ValueError as error:
            parser.error(str(error))
        result, checks, failed = run(asked)
    partial = (
        "arms",
        "seeds",
        "steps",
        "prompts",
        "prompts_limit",
        "settings",
        "dataset",
        "tuning",
    )
    if not given.quick and (given.judge_only or any(getattr(given, name) for name in partial)):
        given.out = given.out or work / "evidence.json"  # not in the whole comparison's place
    for text in (arms_lines(result["rows"]), figures_lines(result["rows"], PEOPLE),
                 figures_lines(result["rows"], REST)):  # fmt: skip
        print("\n".join(text), "\n")
    print("\n".join(check.line() for check in checks), "\n")
    rows = [(f"{row['arm']}, people score", row["figures"]["people_score"]["mean"]["mean"], "")
            for row in result["rows"]]  # fmt: skip
    finish(given, result, rows)
    for what in ("left_out", "not_measured"):
        for name, why in result[what].items():
            print(f"{what.replace('_', ' ')}: {name}: {why}", file=sys.stderr)
    for each in failed:
        print(f"FAILED {each}", file=sys.stderr)
    if failed:
        raise SystemExit(1)


def _parser() -> argparse.ArgumentParser:
    parser = options(__doc__, "evidence")
    add = parser.add_argument
    add("--base", default="embedded", help="diffusers id or folder; embedded: the drawn world's")
    add("--dataset", help="ROOT[@VERSION]; else drawn photos go through the real pipeline")
    add("--settings", type=Path, help="YAML; else the one in benchmarks/evidence for the base")
    add("--work", type=Path, help=f"folder to keep, and to go on in; else {WORK.name} below out/")
    add("--arms", help="names, separated by commas; else all of the settings")
    add("--seeds", type=int, help="how many training seeds; else as the settings say")
    add("--steps", type=int, help="of each training; else as the settings say")
    add("--prompts", help="file, one a line; else held-out captions")
    add("--prompts-limit", type=int, help="at most so many prompts with people")
    add("--tuning", action="store_true", help="on the prompts that are never reported: research")
    add("--learning-rates", help="a,b,c: each arm at its best of them, chosen on other prompts")
    add("--judge", help="pose model that judges people, by name or path")
    add("--features", help="feature network of KID")
    add("--device", default="auto", choices=("auto", "cpu", "cuda"))
    add("--workers", type=int, default=1, help="processes; several have one thread each")
    add("--judge-only", action="store_true", help="judge the committed adapters; train nothing")
    add("--export", type=Path, help="folder to write the adapters to that --judge-only judges")
    add("--rejudge", action="store_true", help="judge again what has been judged")
    return parser


if __name__ == "__main__":
    main()
