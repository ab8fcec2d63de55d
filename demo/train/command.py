"""The command line of the pose and the Sam training: the same options, one record of the run."""

import argparse
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from demo.embedded import WEIGHTS_DIR
from demo.train.schedule import Budget

_log = logging.getLogger(__name__)

Config = TypeVar("Config")
_Config = TypeVar("_Config", contravariant=True)


class Train(Protocol[_Config]):
    """Trains within a budget, exports the weights to ``out``, returns the record of the run."""

    def __call__(
        self, config: _Config, budget: Budget, *, work: Path, out: Path, threads: int
    ) -> dict[str, Any]: ...


def run_training(
    train: Train[Config],
    configure: Callable[..., Config],
    *,
    kind: Literal["pose", "sam"],
    minutes: float,
    about: str | None,
) -> None:
    """Read the command line, train, and write the record beside the weights.

    Args:
        train: the training.
        configure: its config, from ``seed`` and ``scenes``; both have defaults.
        kind: names the module and the folder of the weights.
        minutes: of the processor, where the command line says nothing.
        about: the help's text.
    """
    defaults: Any = configure()
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--minutes", type=float, default=minutes, help="of the processor")
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--scenes", type=int, default=defaults.scenes)
    parser.add_argument("--seed", type=int, default=defaults.seed)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--work", type=Path, default=Path("/tmp/hcp-train"))
    parser.add_argument("--out", type=Path, default=WEIGHTS_DIR / kind)
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    record = train(
        configure(seed=given.seed, scenes=given.scenes),
        Budget(steps=given.steps, minutes=given.minutes),
        work=given.work,
        out=given.out,
        threads=given.threads,
    )
    record["command"] = f"python -m demo.train_{kind} --minutes {given.minutes:g}"
    (given.out / "TRAINING.json").write_text(json.dumps(record, indent=1) + "\n")
    _log.info("done: %s", record)
