"""Exactly once: runs killed with ``kill -9`` at a random moment, resumed, compared byte for byte.

Each run kills one of: the driver, an actor, an actor while it writes a shard. The driver is killed
and started again; a dead actor is the driver's own matter. Redone work is counted from the
extractors' own start log.

    python -m benchmarks.bench_crash [--quick] [--actors N]
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
from benchmarks.stub_models import MakeStub, shard_digest, started, units_of, write_photos
from flows.ray_session import ray_session
from priors.config import PoolConfig
from priors.pool import run_units
from storage.layout import Root
from storage.markers import committed
from storage.sources import resolve_source
from storage.verify import verify_root
from storage.versions import publish_version

VICTIMS = ("driver", "actor", "writer")
SECONDS = 0.02  # of an image
UNIT_SIZE = 20


def main() -> None:
    parser = options(__doc__, "crash")
    parser.add_argument("--actors", type=int, default=2)
    parser.add_argument("--drive", type=Path, help="run the pool on this folder (used inside)")
    given = parser.parse_args()
    if given.drive:
        drive(given.drive, given.actors)
        return
    n_runs, n_photos = (3, 200) if given.quick else (20, 1000)
    with tempfile.TemporaryDirectory() as folder:
        result = run(Path(folder), n_runs, n_photos, given.actors)
    rows: list[tuple[str, object, str]] = [
        ("runs killed and resumed", n_runs, ""),
        ("runs whose version is byte-identical", result["identical"], f"{n_runs}"),
        ("problems that hcp verify found", result["problems"], "0"),
        ("units redone for a kill, most", result["most_redone"], f"<= {2 * given.actors}"),
        ("units redone for a kill, mean", result["mean_redone"], ""),
    ]
    finish(given, result, rows)


def drive(place: Path, actors: int) -> None:
    """What the killed process does: the units that are left, then the version."""
    root = Root.of(place / "data")
    source = resolve_source(str(place.parent / "photos"), format="folder")
    units = units_of(source, unit_size=UNIT_SIZE)
    done = committed(root)
    todo = [unit for unit in units if unit.fingerprint not in done]
    if todo:
        make = MakeStub(source=source, root=root, log=place / "log", seconds=SECONDS)
        with ray_session("local"):
            run_units(
                todo,
                make_extractor=make,
                on_report=lambda _: None,
                config=PoolConfig(count=actors, cpus_each=0.5),
            )
    publish_version(root, [unit.fingerprint for unit in units], config={})


def run(place: Path, n_runs: int, n_photos: int, actors: int) -> dict[str, Any]:
    write_photos(place / "photos", [f"{i:06}" for i in range(n_photos)], side_px=64)
    peer = place / "uninterrupted"
    peer.mkdir()
    start(peer, actors).wait()
    expected = shard_digest(peer / "data")
    n_units = len(committed(Root.of(peer / "data")))
    dice = random.Random(0)
    runs: list[dict[str, Any]] = []
    for number in range(n_runs):
        folder = place / f"run{number}"
        folder.mkdir()
        victim = VICTIMS[number % len(VICTIMS)]
        moment = dice.randrange(1, max(n_units - 2 * actors, 2))
        kills = run_killed(folder, victim, moment, actors)
        redone = len(started(folder / "log")) - n_units
        runs.append(
            {
                "victim": victim,
                "after_units": moment,
                "kills": kills,
                "identical": shard_digest(folder / "data") == expected,
                "problems": len(verify_root(str(folder / "data"))),
                "redone": redone,
            }
        )
        print(runs[-1], flush=True)
        shutil.rmtree(folder)
    return {
        "units": n_units,
        "actors": actors,
        "identical": sum(r["identical"] for r in runs),
        "problems": sum(r["problems"] for r in runs),
        "most_redone": max(r["redone"] / max(r["kills"], 1) for r in runs),
        "mean_redone": sum(r["redone"] for r in runs) / max(sum(r["kills"] for r in runs), 1),
        "runs": runs,
    }


def start(folder: Path, actors: int) -> "subprocess.Popen[bytes]":
    command = [
        sys.executable, "-m", "benchmarks.bench_crash",
        "--drive", str(folder), "--actors", str(actors),
    ]  # fmt: skip
    return subprocess.Popen(command)


def run_killed(folder: Path, victim: str, moment: int, actors: int) -> int:
    """Run to the end with one kill; how many kills hit (0: the run was over before)."""
    process = start(folder, actors)
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
        assert start(folder, actors).wait() == 0
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


def wait_until_gone(folder: Path, *, quiet_s: float = 2.0) -> None:
    """Until the dead driver's actors, which Ray ends, no longer start units."""
    size = -1
    while size != (size := len(started(folder / "log"))):
        time.sleep(quiet_s)


if __name__ == "__main__":
    main()
