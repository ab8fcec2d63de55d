"""``make demo``: the whole product on the embedded world, through a Prefect server of its own."""

import logging
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from demo.world.dataset import write_folder
from flows.cli.console import say
from flows.server import private_server

PROMPTS = Path(__file__).parent / "prompts.txt"


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoSize:
    """How much the demo does; the defaults fit eight minutes on two cores."""

    photos: int = 900
    unit_size: int = 40
    train_steps: int = 900
    seeds: int = 2
    inference_steps: int = 14
    prompts: Path = PROMPTS


def run_demo(out: Path, size: DemoSize | None = None) -> None:
    """Draw photos, rebuild, train, evaluate, register; print a table and the report's path.

    Everything is written below ``out``. A second run there does no extraction again. Nothing is
    left running, also after an error, Ctrl-C or SIGTERM.
    """
    size, start = size or DemoSize(), time.monotonic()
    signal.signal(signal.SIGTERM, _exit)
    out = out.resolve()
    say(f"Drawing {size.photos} photos ...")
    drawn = write_folder(out / "photos", n=size.photos, seed=0, defects=True)
    say("Starting a Prefect server ...")
    with private_server(out / "prefect") as environment:
        # Before prefect is imported: it reads its settings then.
        os.environ.update(environment)
        say(f"Prefect UI while this runs: {environment['PREFECT_API_URL'][:-4]}")
        outcome = run_flow(out, size)
    rows = summary(outcome, n_photos=len(drawn.seeds) + len(drawn.defects))
    for name, value in rows.items():
        say(f"{name:{max(map(len, rows))}}  {value}")
    say(f"{time.monotonic() - start:.0f} s. Report: {outcome.evaluation.report}")


def run_flow(out: Path, size: DemoSize) -> Any:
    """Run rebuild-and-train with the embedded models."""
    from flows.params import RebuildAndTrainParams
    from flows.pipeline import rebuild_and_train

    outcome = rebuild_and_train(RebuildAndTrainParams.model_validate(demo_params(out, size)))
    for handler in logging.getLogger("prefect.flow_runs").handlers:
        handler.flush()  # while the server still takes the last log lines
    return outcome


def demo_params(out: Path, size: DemoSize) -> dict[str, Any]:
    """The flow's parameters: the preset ``demo``, with this run's places and sizes."""
    from flows.cli.settings import from_preset, merged
    from flows.params import RebuildAndTrainParams

    own = {
        "rebuild": {
            "source": str(out / "photos"),
            "root": str(out / "data"),
            "unit_size": size.unit_size,
        },
        "train": {
            "out": str(out / "training"),
            "resume": True,
            "training": {
                "steps": size.train_steps,
                "checkpoint_every": max(1, size.train_steps // 2),
            },
        },
        "evaluate": {
            "out": str(out / "report"),
            "prompts": str(size.prompts),
            "evaluation": {"seeds": tuple(range(size.seeds)), "steps": size.inference_steps},
            "register_model": True,
            "registry": f"sqlite:///{out / 'registry.db'}",
        },
    }
    return merged(from_preset(RebuildAndTrainParams, "demo"), own)


def summary(outcome: Any, *, n_photos: int) -> dict[str, str]:
    """The demo's table: one line per figure."""
    from flows.names import split_dataset
    from storage.versions import open_version

    version = open_version(*split_dataset(outcome.dataset))
    arms, train = outcome.evaluation.figures.arms, outcome.train
    base, ours = arms["base"], arms["candidate"]
    rejects = ", ".join(f"{n} {reason}" for reason, n in sorted(version.rejects_by_reason.items()))

    def pair(*values: float | None) -> str:
        return " -> ".join("not measured" if v is None else f"{v:.3f}" for v in values)

    return {
        "images": str(n_photos),
        "shards": f"{len(version.shards)} with {version.n_samples} samples",
        "rejects": f"{version.n_rejects}: {rejects}",
        "loss": f"{train.first['loss']:.4f} -> {train.last['loss']:.4f}",
        "alignment loss": f"{train.first['alignment']:.4f} -> {train.last['alignment']:.4f}",
        "people score, base -> HcP": pair(base.people_score, ours.people_score),
        "attention inside people, base -> HcP": pair(base.attention_share, ours.attention_share),
        "difference on prompts without people": f"{ours.pixel_difference} of 255 levels",
        "registered": f"{outcome.evaluation.registry_uri}"
        + (" (champion)" if outcome.evaluation.promoted else ""),
    }


def _exit(signum: int, frame: FrameType | None) -> None:
    sys.exit(128 + signum)  # unwinds, so that the server and Ray are stopped
