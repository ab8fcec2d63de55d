"""A training's driver as a process of its own: ``python -m tests.hcp.training.driver_process JOB``.

``JOB`` is a pickle of the keyword arguments of ``hcp.training.ray.fit``. Each step is printed as it
is seen, and how it ended.
"""

import pickle
import signal
import sys
from pathlib import Path

import ray

from hcp.training.metrics import StepMetrics
from hcp.training.ray import fit
from hcp.training.watching import Event
from storage.errors import HcpError


def say(line: str) -> None:
    """One line, now."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def show(event: Event) -> None:
    """Say each step."""
    if isinstance(event, StepMetrics):
        say(f"step {event.step}")


def main(job: Path) -> None:
    """Connect, train, say how it ended."""
    ray.init(
        address="local", num_cpus=2, include_dashboard=False, object_store_memory=200_000_000,
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": str(Path(__file__).parents[3])}},
    )  # fmt: skip
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # as flows.ray_session: ray sets one of its own
    arguments = pickle.loads(job.read_bytes())
    try:
        result = fit(**arguments, on_event=show)
    except HcpError as error:
        sys.exit(str(error))
    say(f"done {result.steps}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
