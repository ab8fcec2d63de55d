"""Exactly once: runs killed with ``kill -9`` at a random moment, resumed, compared byte for byte.

Each run kills one of: the driver, an actor, an actor while it writes a shard. The driver is killed
and started again; a dead actor is the driver's own matter. Redone work is counted from the
extractors' own start log.

    python -m benchmarks.bench_crash [--quick]
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from benchmarks.output import finish, options
from benchmarks.stub_models import MakeStub, run_on, shard_digest, started, units_of, write_photos
from flows.ray_session import ray_session
from storage.layout import Root
from storage.markers import committed
from storage.sources import resolve_source
from storage.verify import verify_root
from storage.versions import publish_version

VICTIMS = ("driver", "actor", "writer")
SECONDS = 0.02  # of an image
UNIT_SIZE = 20
ACTORS = 2


def main() -> None:
    parser = options(__doc__, "crash")
    parser.add_argument("--drive", type=Path, help="run the pool on this folder (used inside)")
    given = parser.parse_args()
    if given.drive:
        drive(given.drive)
        return
    n_runs, n_photos = (3, 200) if given.quick else (20, 1000)
    with tempfile.TemporaryDirectory() as folder:
        result = run(Path(folder), n_runs, n_photos)
    rows: list[tuple[str, object, str]] = [
        ("runs killed and resumed", n_runs, ""),
        ("runs whose version is byte-identical", result["identical"], f"{n_runs}"),
        ("problems that hcp verify found", result["problems"], "0"),
        ("units redone for a kill, most", result["most_redone"], f"<= {2 * ACTORS}"),
        ("units redone for a kill, mean", result["mean_redone"], ""),
    ]
    finish(given, result, rows)


def drive(place: Path) -> None:
    """What the killed process does: the units that are left, then the version."""
    root = Root.of(place / "data")
    source = resolve_source(str(place.parent / "photos"), format="folder")
    units = units_of(source, unit_size=UNIT_SIZE)
    done = committed(root)
    todo = [unit for unit in units if unit.fingerprint not in done]
    if todo:
        make = MakeStub(source=source, root=root, log=place / "log", seconds=SECONDS)
        with ray_session("local"):
            run_on(ACTORS, todo, make)
    publish_version(root, [unit.fingerprint for unit in units], config={})


def run(place: Path, n_runs: int, n_photos: int) -> dict[str, Any]:
    write_photos(place / "photos", [f"{i:06}" for i in range(n_photos)], side_px=64)
    peer = place / "uninterrupted"
    peer.mkdir()
    start(peer).wait()
    expected = shard_digest(peer / "data")
    n_units = len(committed(Root.of(peer / "data")))
    dice = random.Random(0)
    runs: list[dict[str, Any]] = []
    for number in range(n_runs):
        folder = place / f"run{number}"
        folder.mkdir()
        victim = VICTIMS[number % len(VICTIMS)]
        moment = dice.randrange(1, max(n_units - 2 * ACTORS, 2))
        kills = run_killed(folder, victim, moment)
        redone = len(started(folder / "log")) - n_units
        found = {
            "victim": victim,
            "after_units": moment,
            "kills": kills,
            "identical": shard_digest(folder / "data") == expected,
            "problems": len(verify_root(str(folder / "data"))),
            "redone": redone,
        }
        runs.append(found)
        print(found, flush=True)
        shutil.rmtree(folder)
    return {
        "units": n_units,
        "actors": ACTORS,
        "identical": sum(r["identical"] for r in runs),
        "problems": sum(r["problems"] for r in runs),
        "most_redone": max(r["redone"] / max(r["kills"], 1) for r in runs),
        "mean_redone": sum(r["redone"] for r in runs) / max(sum(r["kills"] for r in runs), 1),
        "runs": runs,
    }


def start(folder: Path) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.bench_crash", "--drive", str(folder)]
    )


def run_killed(folder: Path, victim: str, moment: int) -> int:
    """Run to the end with one kill; how many kills hit (0: the run was over before)."""
    process = start(folder)
    shards = folder / "data" / "shards"
    kills = 0
    while process.poll() is None:
        time.sleep(0.005)
        names = [path.name for path in shards.iterdir()] if shards.is_dir() else []
        n_done = sum(name.endswith(".json") and name[0] != "." for name in names)
        writing = any(name.startswith(".tmp-") for name in names)
        if kills or n_done < moment or (victim == "writer" and not writing):
            continue
        if victim == "driver":
            os.kill(process.pid, signal.SIGKILL)
            kills = 1
        else:
            kills = kill_one_actor(process.pid)
    if process.returncode:
        wait_until_gone(folder)
        assert start(folder).wait() == 0
    return kills


def kill_one_actor(driver: int) -> int:
    try:
        children = psutil.Process(driver).children(recursive=True)
        names = [(child, " ".join(child.cmdline())) for child in children]
        actors = [child for child, name in names if "ray::_Worker" in name]
        if actors:
            actors[0].kill()
        return len(actors[:1])
    except psutil.NoSuchProcess:
        return 0


def wait_until_gone(folder: Path) -> None:
    """Until the dead driver's actors, which Ray ends, no longer start units."""
    size = -1
    while size != (size := len(started(folder / "log"))):
        time.sleep(2.0)


if __name__ == "__main__":
    main()
