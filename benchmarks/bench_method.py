"""Does HcP help? Variants of the method on the drawn world, trained and judged by the product.

Draws photos, rebuilds a dataset of them, and runs the flow ``ablate-hcp`` on the embedded base,
once as the paper has it (fixed gate) and once with a learned gate, each with and without the
alignment loss. The peer is the base itself: same prompts, same seeds, paired bootstrap over
prompts. About an hour on two cores.
Run: ``python -m benchmarks.bench_method [--quick]``.
"""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.output import finish, options
from demo.run import DemoSize, demo_params
from demo.world.dataset import write_folder
from flows.server import private_server


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One base setting of the method, and the variants of it that are compared."""

    hcp: dict[str, Any]
    learning_rate: float
    variants: tuple[str, ...] = ("default", "no-alignment")


FULL = {"photos": 3000, "steps": 1500, "seeds": 8}  # seeds: pictures per prompt
QUICK = {"photos": 60, "steps": 10, "seeds": 1}

SETTINGS = {
    "fixed gate (paper)": Setting(hcp={"width": 256}, learning_rate=1e-3),
    "learned gate": Setting(hcp={"width": 256, "gate": "zero", "gamma": 10.0}, learning_rate=3e-3),
}


def run(work: Path, *, photos: int, steps: int, seeds: int) -> list[dict[str, Any]]:
    """One row per setting and variant."""
    size = DemoSize(photos=photos, train_steps=steps, seeds=seeds)
    write_folder(work / "photos", n=size.photos, seed=0)
    with private_server(work / "prefect") as environment:
        os.environ.update(environment)  # before prefect is imported: it reads its settings then
        from flows import ablate_hcp, rebuild_dataset
        from flows.answers import table_row
        from flows.cli.settings import merged
        from flows.params import AblateParams, RebuildParams

        params = demo_params(work, size)
        version_id = rebuild_dataset(RebuildParams.model_validate(params["rebuild"]))
        dataset = f"{params['rebuild']['root']}@{version_id}"
        judged = {"register_model": False, "dataset": dataset, "evaluation": {"max_photos": 64}}
        evaluation = merged(params["evaluate"], judged)
        rows: list[dict[str, Any]] = []
        for name, setting in SETTINGS.items():
            own = {
                "dataset": dataset,
                "out": str(work / name.split()[0]),
                "training": {"hcp": setting.hcp, "learning_rate": setting.learning_rate},
            }
            train = merged(params["train"], own)
            given = {"train": train, "evaluate": evaluation, "variants": setting.variants}
            for outcome in ablate_hcp(AblateParams.model_validate(given)).variants:
                row = table_row(outcome)
                rows.append({"setting": name} | {k: v for k, v in row.items() if k != "report"})
    return rows


def main() -> None:
    """Run, print a table, write the figures."""
    parser = options(__doc__, "method")
    parser.add_argument("--work", type=Path, help="folder to keep; else a temporary one")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = (given.work or Path(temporary)).resolve()
        settings = QUICK if given.quick else FULL
        rows = run(work, **settings)
    shown = [
        (
            f"{row['setting']}, {row['variant']}",
            f"{row['to base']:+.4f} ({row['low']:+.4f} to {row['high']:+.4f})",
            "people score, to base",
        )
        for row in rows
    ]
    finish(given, {"rows": rows} | settings, shown)


if __name__ == "__main__":
    main()
