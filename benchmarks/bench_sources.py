"""Listing a plain folder, and looking at it: photos/s, and the seconds of `hcp sources`.

Half of the files are photos, half their captions. The peer does no more than any listing must:
walk, stat each photo, read each caption. ``--before REVISION`` lists with that revision's code
too, in turns with today's (processor seconds: a busy machine slows both).

    python -m benchmarks.bench_sources [--quick] [--before REVISION]
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tarfile
import tempfile
from io import BytesIO
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

from benchmarks.output import ROOT, finish, options

N_FILES, QUICK_FILES = 100_000, 2_000
PER_FOLDER = 500

_LIST = """
import json, sys, time
from storage.sources import resolve_source
source = resolve_source(sys.argv[1])
seconds = []
for _ in range(2):  # the first pass makes the photos' tags known, as an earlier rebuild does
    start = time.process_time()
    n = sum(1 for _ in source.records())
    seconds.append(time.process_time() - start)
print(json.dumps([n, min(seconds)]))
"""


def main() -> None:
    parser = options(__doc__, "sources")
    parser.add_argument("--before", help="a revision of this repository to list with, too")
    parser.add_argument("--rounds", type=int, default=3, help="of all that is compared, in turns")
    parser.add_argument("--photos", type=Path, help="write the files here, or take them from here")
    given = parser.parse_args()
    n_files = QUICK_FILES if given.quick else N_FILES
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        photos = given.photos or place / "photos"
        if not photos.exists():
            write_files(photos, n_files)
        result = run(photos, place, n_files, given)
    rows: list[tuple[str, object, str]] = [
        ("listing: photos a processor second", result["photos_per_s"], "not below before"),
        ("before: photos a processor second", result.get("before_photos_per_s"), ""),
        ("walk, stat, read: photos a processor second", result["peer_photos_per_s"], "peer"),
        (f"hcp sources, {n_files:,} files: seconds", result["look_seconds"], "<= 5"),
        ("of them the processor's", result["look_processor_seconds"], ""),
    ]
    finish(given, result, [row for row in rows if row[1] is not None])


def run(photos: Path, place: Path, n_files: int, given: argparse.Namespace) -> dict[str, Any]:
    codes = {"": ROOT}
    if given.before is not None:
        codes["before_"] = unpacked(given.before, place / "before")
    rates: dict[str, list[float]] = {}
    for _ in range(given.rounds):
        for name, code in codes.items():
            n, seconds = json.loads(output(code, place, "-c", _LIST, str(photos)))
            assert n == n_files // 2
            rates.setdefault(f"{name}photos_per_s", []).append(n / seconds)
        start = process_time()
        n = read_all(photos)
        rates.setdefault("peer_photos_per_s", []).append(n / (process_time() - start))
    looks: list[float] = []
    processor: list[float] = []
    for _ in range(given.rounds):
        start, used = perf_counter(), children_s()
        said = output(ROOT, place, "-m", "flows.cli", "sources", str(photos))
        looks.append(perf_counter() - start)
        processor.append(children_s() - used)
        assert f"= {n_files:,} there" in said
    return {
        "files": n_files,
        "rounds": given.rounds,
        "before": given.before,
        **{name: round(max(each)) for name, each in rates.items()},
        "look_seconds": round(min(looks), 2),
        "look_seconds_all": [round(each, 2) for each in looks],
        "look_processor_seconds": round(min(processor), 2),
    }


def write_files(photos: Path, n_files: int) -> None:
    """Photos that only a decoder would tell from real ones, each with its caption."""
    for i in range(n_files // 2):
        folder = photos / f"{i // PER_FOLDER:04}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{i:07}.jpg").write_bytes(f"photo {i} ".encode() * 20)
        (folder / f"{i:07}.txt").write_text(f"a person in photo {i}")


def read_all(photos: Path) -> int:
    """What no listing can do without."""
    n = 0
    for folder, _, names in os.walk(photos):
        for name in sorted(names):
            path = os.path.join(folder, name)
            if name.endswith(".jpg"):
                n += os.stat(path).st_size > 0
            else:
                Path(path).read_bytes().decode()
    return n


def children_s() -> float:
    """Processor seconds of the processes that this one has waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def unpacked(revision: str, place: Path) -> Path:
    """The package ``storage`` as it was."""
    command = ["git", "archive", revision, "storage"]
    packed = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout
    with tarfile.open(fileobj=BytesIO(packed)) as tar:
        tar.extractall(place, filter="data")
    return place


def output(code: Path, place: Path, *arguments: str) -> str:
    """What Python prints, with the packages of ``code`` and a cache of its own."""
    environment = {"HCP_CACHE": str(place / "cache"), **os.environ, "PYTHONPATH": str(code)}
    command = [sys.executable, *arguments]
    done = subprocess.run(
        command, cwd=code, env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout


if __name__ == "__main__":
    main()
