"""Time and memory of variants that take turns inside one run."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch


def seconds_of(run: Callable[[], None], device: torch.device) -> float:
    """Processor seconds on a CPU, wall seconds until the work is done on a GPU."""
    if device.type == "cpu":
        start = time.process_time()
        run()
        return time.process_time() - start
    torch.cuda.synchronize()
    start = time.perf_counter()
    run()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def alternate(
    variants: Mapping[str, Callable[[], None]], rounds: int, device: torch.device
) -> dict[str, list[float]]:
    """Seconds of each variant in each round, after one round to warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for number in range(rounds + 1):
        for name, run in variants.items():
            spent = seconds_of(run, device)
            if number:
                seconds[name].append(spent)
    return seconds


def peak_mib(run: Callable[[], None], resident: int, device: torch.device) -> float:
    """Most memory that tensors take at a time during a run.

    Args:
        run: what is measured, not for the first time.
        resident: bytes that live before it; read from the device where it can be.
        device: where it runs.
    """
    if device.type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        run()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() / 2**20
    with torch.profiler.profile(profile_memory=True) as profiler:
        run()
    recorded: Any = profiler.profiler
    events = [e for e in recorded.kineto_results.events() if e.name() == "[memory]"]
    live = peak = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        live += event.nbytes()
        peak = max(peak, live)
    return (resident + peak) / 2**20


def summary(seconds: Mapping[str, list[float]], ours: str, other: str) -> dict[str, object]:
    """Medians, and the median and range of the ratio of neighbouring runs."""
    ratios = [a / b for a, b in zip(seconds[ours], seconds[other], strict=True)]
    return {
        **{f"{name}_s": round(statistics.median(each), 4) for name, each in seconds.items()},
        "ratio": round(statistics.median(ratios), 3),
        "ratio_range": [round(min(ratios), 3), round(max(ratios), 3)],
        "rounds": len(ratios),
    }
