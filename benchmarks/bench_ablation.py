"""Which settings of the layer are worth having? ``ablate-hcp`` on the drawn world, with its claims.

Trains each variant of our default on the people set of ``bench_evidence``, judges it on prompts
that are never reported, and keeps the flow's tables and sentences. The peer of every variant is the
default of the same run. Stopped at any point it goes on there; ``--question`` runs a part.
Run: ``python -m benchmarks.bench_ablation [--quick] [--question NAME ...] [--work DIR]``.
"""

import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.bench_evidence import WORK
from benchmarks.evidence.data import drawn_dataset
from benchmarks.evidence.prompts import TUNING_FIRST_SEED, drawn_prompts
from benchmarks.output import finish, options
from flows.server import private_server

QUESTIONS = (
    "loss", "layers", "gamma", "width", "schedule", "aligned-stage", "start-and-value", "target",
    "distance", "gate",
)  # fmt: skip
"""All but ``method``, which ``bench_evidence`` answers at equal numbers of parameters."""
LEFT_OUT = ("resnet50-only",)
"""ImageNet's weights cannot be had without a network."""
PEOPLE, PHOTOS_PX = 100, 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is trained and drawn."""

    photos: int = 3000
    steps: int = 600
    prompts: int = PEOPLE
    questions: tuple[str, ...] = QUESTIONS


QUICK = Size(photos=60, steps=2, prompts=8, questions=("gate",))


def main() -> None:
    """Run, print what was learnt, write tables and sentences."""
    parser = options(__doc__, "ablation")
    parser.add_argument("--work", type=Path, help=f"folder to keep; else {WORK.name} below out/")
    parser.add_argument(
        "--question", action="append", choices=QUESTIONS, help="may be repeated; else all"
    )
    given = parser.parse_args()
    size = QUICK if given.quick else Size(questions=tuple(given.question or QUESTIONS))
    with tempfile.TemporaryDirectory() as temporary:
        work = given.work or (Path(temporary) if given.quick else WORK)
        result = run(work.resolve(), size)
    print("\n".join(result["learnt"]), "\n")
    rows: list[tuple[str, object, str]] = [
        (f"{question}: {row['variant']}, people score", row["people score"], "default")
        for question, table in result["questions"].items()
        for row in table
    ]
    finish(given, result, rows)


def run(work: Path, size: Size) -> dict[str, Any]:
    """The flow's answers as plain data."""
    work.mkdir(parents=True, exist_ok=True)
    # In a process of its own: it has a Prefect server of its own, and is over before ours begins.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        version = pool.submit(drawn_dataset, work, size.photos).result()
    prompts = drawn_prompts(TUNING_FIRST_SEED, size.prompts, 1, size_px=PHOTOS_PX)
    lines = [asked.prompt for asked in (*prompts.people, *prompts.others)]
    (work / "ablation-prompts.txt").write_text("".join(f"{line}\n" for line in lines))
    with private_server(work / "ablation-prefect") as environment:
        os.environ.update(environment)  # before prefect is imported: it reads its settings then
        from flows.ablate import ablate_hcp
        from flows.params import AblateParams

        given = ablation(work, size, dataset=f"{version.root}@{version.id}")
        outcome = ablate_hcp(AblateParams.model_validate(given))
    return {
        "questions": outcome.tables,
        "learnt": [line for line in outcome.learnt.splitlines() if line],
        "same_as_default": sorted(outcome.same),
        "left_out": sorted({*QUESTIONS} - {*size.questions}) + list(LEFT_OUT),
        "settings": {
            "photos": size.photos, "steps": size.steps, "prompts": size.prompts,
            "prompts_from": prompts.source, "training_seeds": 1,
        },
    }  # fmt: skip


def ablation(work: Path, size: Size, *, dataset: str) -> dict[str, Any]:
    """The flow's parameters: the preset ``demo`` at this size, judged as cheaply as it can be."""
    from flows.cli.settings import from_preset, merged
    from flows.params import AblateParams

    registry = f"sqlite:///{work / 'ablation.db'}"
    own = {
        "train": {
            "dataset": dataset, "out": str(work / "ablation"), "registry": registry,
            "training": {
                "steps": size.steps, "checkpoint_every": max(1, size.steps // 2),
                "validation": {"every": None}, "samples": {"every": None},
                "cache": {"use": "auto"},
            },
        },
        "evaluate": {
            "out": str(work / "ablation"), "registry": registry, "bias_prompts": None,
            "mask_model": None, "prompts": str(work / "ablation-prompts.txt"),
            "evaluation": {"seeds": [0], "guidance": 5.0, "batch_size": 8, "max_photos": 40,
                           "out_of_domain": None},
        },
        "variants": asked(size.questions),
        "parallel": 1,
    }  # fmt: skip
    return merged(from_preset(AblateParams, "demo"), own)


def asked(questions: Sequence[str]) -> list[str]:
    """The variants of these questions that can be run here."""
    from flows.variants import QUESTIONS as BUILT_IN

    names = [name for question in questions for name in BUILT_IN[question].variants]
    return [name for name in dict.fromkeys(names) if name not in LEFT_OUT]


if __name__ == "__main__":
    main()
