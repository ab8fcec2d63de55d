"""Rebuild after a change: how many units are computed again when 1 % of the photos change.

Adding, deleting and changing happen in one place (a folder that was crawled, dropped, fixed), and,
for comparison and without a target, all over the source.

    python -m benchmarks.bench_incremental [--quick]
"""

import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks.output import finish, options
from benchmarks.stub_models import MakeStub, photo, units_of, write_photos
from priors.extract import run_units_inline
from storage.layout import Root
from storage.markers import committed
from storage.sources import resolve_source

SIDE_PX = 32


def main() -> None:
    given = options(__doc__, "incremental").parse_args()
    n_photos, unit_size = (600, 10) if given.quick else (20_000, 100)
    with tempfile.TemporaryDirectory() as folder:
        result = run(Path(folder), n_photos, unit_size)
    rows: list[tuple[str, object, str]] = [
        (f"{name}: units computed again", step["fraction"], step["target"])
        for name, step in result["steps"].items()
    ]
    finish(given, result, rows)


def run(place: Path, n_photos: int, unit_size: int) -> dict[str, Any]:
    photos = place / "photos"
    names = [f"{i // 200:04}/{i:07}" for i in range(n_photos)]
    write_photos(photos, names, side_px=SIDE_PX)
    first = rebuild(place, unit_size)
    n = n_photos // 100
    middle = n_photos // 2
    some = random.Random(0).sample(names, n)
    inside = names[middle : middle + n]
    new = [f"{names[middle]}-new{i:05}" for i in range(n)]
    steps: dict[str, tuple[Callable[[], None], str]] = {
        "add 1 % in one place": (lambda: write_photos(photos, new, side_px=SIDE_PX), "<= 0.05"),
        "delete 1 % in one place": (lambda: delete(photos, inside), "<= 0.05"),
        "change 1 % in one place": (lambda: change(photos, names[:n]), "<= 0.05"),
        "change 1 % all over": (lambda: change(photos, [s for s in some if s not in inside]), ""),
        "nothing": (lambda: None, "0"),
    }
    found: dict[str, Any] = {}
    for name, (act, target) in steps.items():
        act()
        found[name] = rebuild(place, unit_size) | {"target": target}
    return {"photos": n_photos, "unit_size": unit_size, "first": first, "steps": found}


def delete(folder: Path, names: list[str]) -> None:
    for name in names:
        (folder / f"{name}.jpg").unlink()
        (folder / f"{name}.txt").unlink()


def change(folder: Path, names: list[str]) -> None:
    for name in names:
        (folder / f"{name}.jpg").write_bytes(photo(f"{name} changed", side_px=SIDE_PX))


def rebuild(place: Path, unit_size: int) -> dict[str, Any]:
    root = Root.of(place / "data")
    start = perf_counter()
    source = resolve_source(str(place / "photos"), format="folder")
    units = units_of(source, unit_size=unit_size)
    plan_s = perf_counter() - start
    done = committed(root)
    todo = [unit for unit in units if unit.fingerprint not in done]
    run_units_inline(
        todo,
        make_extractor=MakeStub(source=source, root=root, log=place / "log", seconds=0.0),
        on_report=lambda _: None,
    )
    return {
        "units": len(units),
        "computed": len(todo),
        "fraction": round(len(todo) / len(units), 4),
        "plan_seconds": round(plan_s, 2),
        "seconds": round(perf_counter() - start, 2),
    }


if __name__ == "__main__":
    main()
