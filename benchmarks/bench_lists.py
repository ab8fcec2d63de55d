"""Every list and page at the size of years: 1,000 versions, 10,000 units, 200 flow runs.

The root is made of stub units: fifty real ones, copied under other names. Each command line runs in
a process of its own, from the start of Python to its end; calls are timed inside this one. Wall and
processor seconds both stand there: on a busy machine the wall's are those of its other work. Flow
runs are those of a private Prefect server, beside the server's own answer to the same question.

    python -m benchmarks.bench_lists [--quick]
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from statistics import median
from time import perf_counter, sleep
from typing import Any

import httpx
import numpy as np

from benchmarks.output import ROOT as REPOSITORY
from benchmarks.output import finish, options
from flows.retry import last_settings
from flows.server import private_server
from hcp.pages.inspection import render_inspection
from storage.canonical import key_of
from storage.gc import collect_garbage
from storage.layout import DATA_SUFFIXES, MARKER_SUFFIX, Root
from storage.locations import write_atomic
from storage.markers import read_shard_info
from storage.plan import make_unit
from storage.records import Person, Reject, Sample, SourceRecord, Unit
from storage.shards import commit_unit
from storage.verify import verify_listing
from storage.version_list import summarise_versions
from storage.versions import list_versions, open_version, publish_version
from storage.work import open_work

Seconds = tuple[float, float]
"""Wall, processor."""
LIMIT_S = 2.0
LOCKED = 503  # what the server answers while its SQLite is
REAL = 50
PER_UNIT = 3
JPEG_SIDE = (48, 64)


def main() -> None:
    """Make the root and the runs, ask for every list and page, write the figures."""
    given = options(__doc__, "lists").parse_args()
    n_versions, n_units, n_runs = (20, 200, 10) if given.quick else (1000, 10_000, 200)
    with tempfile.TemporaryDirectory() as folder:
        root = Root(folder + "/data")
        fill(root, n_versions=n_versions, n_units=n_units)
        seconds = calls(root) | commands(root, Path(folder))
        with private_server(Path(folder) / "prefect") as environment:
            seconds |= runs(environment, n_runs)
    wall = {name: round(each[0], 3) for name, each in seconds.items()}
    processor = {name: round(each[1], 3) for name, each in seconds.items()}
    result = {
        "settings": {"versions": n_versions, "units": n_units, "runs": n_runs},
        "wall_s": wall,
        "processor_s": processor,
        "slowest_wall_s": max(wall.values()),
        "slowest_processor_s": max(processor.values()),
    }
    finish(given, result, [
        (f"{name}, s", each, f"<= {LIMIT_S:g}, {processor[name]:.2f} of it busy")
        for name, each in wall.items()
    ])  # fmt: skip


def fill(root: Root, *, n_versions: int, n_units: int) -> None:
    """A root whose latest version has all units, and whose other versions have ten each."""
    made = list(units(n_units))
    open_work(root, iter(made), settings=json.dumps({"source": "photos", "root": root.uri}))
    for number, unit in enumerate(made[:REAL]):
        commit_unit(root, unit, outcomes=outcomes(unit, number))
    for number, unit in enumerate(made[REAL:]):
        like = made[number % REAL].fingerprint
        for suffix in DATA_SUFFIXES:
            data = Path(root.shard(like, suffix)).read_bytes()
            Path(root.shard(unit.fingerprint, suffix)).write_bytes(data)
        marker = asdict(read_shard_info(root, like)) | {"fingerprint": unit.fingerprint}
        text = json.dumps({"contract": 1} | marker)
        Path(root.shard(unit.fingerprint, MARKER_SUFFIX)).write_text(text)
    names = [unit.fingerprint for unit in made]
    for number in range(n_versions - 1):
        publish_version(root, names[:10], config={"night": number})
    publish_version(root, names, config={"night": n_versions})
    write_atomic(f"{root.versions}/README", b"no version")


def units(n: int) -> Iterator[Unit]:
    """Units of three photos that do not exist."""
    for number in range(n):
        uris = [f"{number:05}/{index}.jpg" for index in range(PER_UNIT)]
        yield make_unit(
            (
                SourceRecord(key=key_of(uri), uri=uri, caption="a man smiles", content_tag="t")
                for uri in uris
            ),
            salt="bench",
        )


def outcomes(unit: Unit, number: int) -> Iterator[Sample | Reject]:
    """Two samples of one person, and a reject; one reason is rare."""
    last = unit.records[-1]
    reason = "poison" if number == REAL - 1 else "no_person"
    yield Reject(key=last.key, uri=last.uri, reason=reason, detail="stub")
    mask = np.zeros(JPEG_SIDE, np.uint8)
    mask[1:30, 2:30] = 1
    person = Person(
        bbox_xyxy_px=(1.0, 1.0, 30.0, 40.0),
        score=0.9,
        keypoints=tuple((1.0 + i, 2.5, 0.5) for i in range(17)),
        passes_gate=True,
        mask_area_px=int(mask.sum()),
        mask_score=0.5,
    )
    for record in unit.records[:-1]:
        yield Sample(
            key=record.key, uri=record.uri, sha256=key_of(record.uri) * 4, phash=record.key,
            width_px=JPEG_SIDE[1], height_px=JPEG_SIDE[0], caption=record.caption or "",
            attributes={}, people=(person,), human_spans=(), image_jpeg=jpeg(), mask=mask,
        )  # fmt: skip


def jpeg() -> bytes:
    """A picture of one colour."""
    import io

    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (JPEG_SIDE[1], JPEG_SIDE[0]), (90, 120, 40)).save(buffer, "JPEG")
    return buffer.getvalue()


def calls(root: Root) -> dict[str, Seconds]:
    """Seconds of each call, the median of three."""
    version = open_version(root)
    asked: Mapping[str, Callable[[], object]] = {
        "list_versions": lambda: list_versions(root),
        "summarise_versions, all": lambda: list(summarise_versions(root)),
        "open_version": lambda: open_version(root),
        "render_inspection": lambda: render_inspection(version),
        "verify_listing": lambda: verify_listing(root),
        "collect_garbage, dry run": lambda: collect_garbage(root, dry_run=True),
        "last_settings": lambda: last_settings(root.uri),
    }
    return {name: timed(call) for name, call in asked.items()}


def commands(root: Root, folder: Path) -> dict[str, Seconds]:
    """Seconds of each command line, with the start of Python."""
    place = root.uri
    lines = (
        ("versions", place), ("versions", place, "--limit", "0"), ("versions", place, "--json"),
        ("inspect", place, "--out", str(folder / "page.html")), ("verify", place, "--quick"),
        ("gc", place, "--dry-run"),
    )  # fmt: skip
    return {
        " ".join(("hcp", *line)).replace(f" {place}", " ROOT").replace(str(folder), ""): timed(
            lambda line=line: hcp(line, os.environ)
        )
        for line in lines
    }


def runs(environment: Mapping[str, str], n_runs: int) -> dict[str, Seconds]:
    """Seconds of ``hcp runs``, and of the server's own answer."""
    api = environment["PREFECT_API_URL"]
    with httpx.Client(base_url=api, timeout=60) as client:
        flow = client.post("/flows/", json={"name": "rebuild-dataset"}).json()["id"]
        for number in range(n_runs):
            body = {"flow_id": flow, "name": f"data@{number}", "state": {"type": "COMPLETED"}}
            while client.post("/flow_runs/", json=body).status_code == LOCKED:
                sleep(1)
        body = {"limit": n_runs, "sort": "EXPECTED_START_TIME_DESC"}
        own = timed(lambda: client.post("/flow_runs/filter", json=body).raise_for_status())
    line = ("runs", "--limit", str(n_runs))
    listed = json.loads(hcp((*line, "--json"), os.environ | dict(environment)))
    assert len(listed["runs"]) == n_runs
    return {
        "the server's own /flow_runs/filter": own,
        "hcp runs --limit N": timed(lambda: hcp(line, os.environ | dict(environment))),
    }


def hcp(arguments: tuple[str, ...], environment: Mapping[str, str]) -> str:
    """What a command prints; its failure ends the benchmark."""
    command = [sys.executable, "-m", "flows", *arguments]
    return subprocess.run(
        command, cwd=REPOSITORY, env=dict(environment), check=True, capture_output=True, text=True
    ).stdout


def timed(call: Callable[[], Any]) -> Seconds:
    """The median of three calls."""
    each: list[Seconds] = []
    for _ in range(3):
        start, before = perf_counter(), processor_s()
        call()
        each.append((perf_counter() - start, processor_s() - before))
    return median(wall for wall, _ in each), median(busy for _, busy in each)


def processor_s() -> float:
    """Of this process and those that it waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


if __name__ == "__main__":
    main()
