"""Training steps on one GPU, from photos' pixels: each method, batches until memory is full.

Stable Diffusion 1.5 at 512 px and XL at 1024 px, random weights, bfloat16. In the same run the
card's own peak is measured, as the best rate of square matrix products; a step's floating point
operations are counted by torch as they are done, those that a backward pass repeats included.
No Ray, no data set, no weights. Figures are written after each measurement. Run:
``python -m benchmarks.gpu``; a try anywhere: ``--device cpu --quick``.
"""

import argparse
import gc
import json
import platform
import re
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, get_args

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.measure import peak_mib
from benchmarks.output import QUICK_RESULTS, RESULTS, finish, options
from benchmarks.whole_bases import Name, photos, random_base
from hcp.base import frozen_modules, native_size_px
from hcp.training.batches import LoaderState
from hcp.training.config import Precision, TrainConfig
from hcp.training.methods.names import METHODS, split_method, trains_unet
from hcp.training.trainer import Trainer
from storage.errors import HcpError

MATRIX_SIDES = (4096, 8192, 16384)
WARM_STEPS, STEPS = 3, 8
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is measured, and where."""

    device: torch.device
    precision: Precision
    quick: bool
    checkpointing: bool = False
    compile: bool = False
    max_batch: int | None = None  # None: until memory is full

    @property
    def steps(self) -> tuple[int, int]:
        """Steps to warm up, steps measured."""
        return (1, 2) if self.quick else (WARM_STEPS, STEPS)


def timed(run: Callable[[], object], device: torch.device) -> float:
    """Wall seconds until the work is done."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    start = perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return perf_counter() - start


def matrix_peak(plan: Plan) -> dict[str, float]:
    """Best rate of square matrix products by side, in 10^12 operations a second."""
    found: dict[str, float] = {}
    dtype = DTYPES[plan.precision]
    for side in (256,) if plan.quick else MATRIX_SIDES:
        a, b = (torch.randn(side, side, device=plan.device, dtype=dtype) for _ in range(2))
        out = torch.empty_like(a)
        best = min(timed(lambda a=a, b=b, out=out: torch.mm(a, b, out=out), plan.device)
                   for _ in range(3 if plan.quick else 20))  # fmt: skip
        found[str(side)] = 2 * side**3 / best / 1e12
    return found


def measured(name: Name, method: str, plan: Plan, peak: float) -> list[dict[str, object]]:
    """One row for each batch size: 1, 2, 4, ... until memory is full."""
    rows: list[dict[str, object]] = []
    batch_size = 1
    per_image = 0.0
    while plan.max_batch is None or batch_size <= plan.max_batch:
        try:
            row = measured_batch(name, method, plan, batch_size=batch_size, counted=not per_image)
        except torch.OutOfMemoryError:
            rows.append({"batch": batch_size, "out_of_memory": True})
            break
        except (ValueError, HcpError) as error:  # of this method alone
            rows.append({"batch": batch_size, "error": str(error)})
            break
        finally:
            gc.collect()
            if plan.device.type == "cuda":
                torch.cuda.empty_cache()
        per_image = row.pop("operations", per_image)
        rate = row["images_per_s"] * per_image / 1e12
        rows.append({
            "batch": batch_size, **row,
            "tera_operations_per_image": per_image / 1e12,
            "tera_operations_per_s": rate,
            "share_of_peak": rate / peak,
        })  # fmt: skip
        batch_size *= 2
    return rows


def measured_batch(
    name: Name, method: str, plan: Plan, *, batch_size: int, counted: bool
) -> dict[str, float]:
    """Steps of one batch size in a pipeline of its own."""
    half = plan.device.type == "cuda" and not trains_unet(method)  # what trains is float32
    dtype = DTYPES[plan.precision] if half else torch.float32
    pipeline = random_base(name, device=plan.device, dtype=dtype, tiny=plan.quick)
    config = TrainConfig(
        method=method, batch_size=batch_size, precision=plan.precision, ema_decay=None,
        gradient_checkpointing=plan.checkpointing, compile=plan.compile,
    )  # fmt: skip
    trainer = Trainer(pipeline, config)
    batch = photos(pipeline, count=batch_size, side_px=native_size_px(pipeline))
    try:
        return _steps(trainer, lambda: trainer.step([(batch, LoaderState())]), plan, counted)
    finally:
        trainer.close()


def _steps(
    trainer: Trainer, step: Callable[[], object], plan: Plan, counted: bool
) -> dict[str, float]:
    def again() -> None:
        step()

    warm, count = plan.steps
    for _ in range(warm):
        step()
    seconds = [timed(step, plan.device) for _ in range(count)]
    size = trainer.config.batch_size
    parts = frozen_modules(trainer.pipeline)
    resident = sum(p.numel() * p.element_size() for part in parts for p in part.parameters())
    found = {
        "images_per_s": size / statistics.median(seconds),
        "seconds_per_step": statistics.median(seconds),
        "slowest_step_s": max(seconds),
        "trained_parameters": float(sum(p.numel() for p in trainer.parameters)),
        "peak_memory_mib": peak_mib(again, resident, plan.device),
    }
    if counted:
        with FlopCounterMode(display=False) as counter:
            step()
        found["operations"] = counter.get_total_flops() / size
    return found


def card_name(device: torch.device) -> str:
    """The card, as part of a file's name."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def main() -> None:
    """Measure everything asked for, print a table, write the figures."""
    given = parsed()
    device = torch.device(given.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SystemExit("no CUDA device here; --device cpu --quick tries the script")
    on_cpu = device.type == "cpu"
    plan = Plan(
        device=device, precision=given.precision, quick=given.quick,
        checkpointing=given.checkpointing, compile=given.compile,
        max_batch=given.max_batch or (2 if on_cpu else None),
    )  # fmt: skip
    given.name = f"gpu-{card_name(device)}"
    given.out = given.out or (QUICK_RESULTS if given.quick else RESULTS) / f"{given.name}.json"
    peaks = matrix_peak(plan)
    found: dict[str, Any] = {
        "settings": {
            "device": card_name(device), "precision": plan.precision, "compile": plan.compile,
            "gradient_checkpointing": plan.checkpointing, "tiny": plan.quick,
        },
        "matrix_peak_tera_operations_per_s": peaks,
        "bases": {},
    }  # fmt: skip
    for name in given.layouts:
        methods = found["bases"][name] = {}
        for method in given.methods:
            methods[method] = measured(name, method, plan, max(peaks.values()))
            save(given.out, found)
            print(f"-- {name} {method}: {len(methods[method])} batch sizes", flush=True)
    finish(given, found, table(found))


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = options(__doc__, "gpu")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--precision", choices=sorted(DTYPES), default="bfloat16")
    parser.add_argument("--layouts", nargs="+", choices=get_args(Name), default=get_args(Name))
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--max-batch", type=int)
    parser.add_argument("--checkpointing", action="store_true", help="gradient checkpointing")
    parser.add_argument("--compile", action="store_true", help="torch.compile of the base's blocks")
    given = parser.parse_args()
    for method in given.methods:
        split_method(method)
    return given


def save(path: Path, found: dict[str, Any]) -> None:
    """What is known so far: a later measurement may take the process down."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=1) + "\n")


def table(found: dict[str, Any]) -> list[tuple[str, object, str]]:
    """One row for the best batch size of each method."""
    peak = max(found["matrix_peak_tera_operations_per_s"].values())
    rows: list[tuple[str, object, str]] = [("matrix products, 10^12/s", peak, "the card's peak")]
    for name, methods in found["bases"].items():
        for method, sizes in methods.items():
            done = [row for row in sizes if "images_per_s" in row]
            if not done:
                rows.append((f"{name} {method}", "none", sizes[0].get("error", "out of memory")))
                continue
            best = max(done, key=lambda row: row["images_per_s"])
            rows.append((
                f"{name} {method}: images/s", best["images_per_s"],
                f"batch {best['batch']}, {best['share_of_peak']:.0%} of the peak, "
                f"{best['peak_memory_mib']:,.0f} MiB; largest batch {done[-1]['batch']}",
            ))  # fmt: skip
    return rows


if __name__ == "__main__":
    main()
