"""One worker of a training as a process of its own, in a gloo group, without Ray.

``python -m tests.hcp.training.rank_process FOLDER RANK WORLD_SIZE`` runs the job of
``FOLDER/job.pickle``; rank 0 appends its steps to ``FOLDER/steps.jsonl``, its validations to
``FOLDER/seen.jsonl``, and writes how it ended to ``FOLDER/end.pickle``.
"""

import json
import os
import pickle
import resource
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hcp.training.loop import RunEnd
from hcp.training.worker import Place, TrainJob, train_worker

ROOT = Path(__file__).parents[3]


@dataclass
class Ranks:
    """The processes of one attempt."""

    folder: Path
    processes: list[subprocess.Popen[bytes]]

    def wait(self, timeout_s: float = 300) -> list[int]:
        """Exit codes by rank."""
        return [process.wait(timeout_s) for process in self.processes]

    def end(self) -> RunEnd:
        """How rank 0 ended."""
        assert self.wait() == [0] * len(self.processes)
        return pickle.loads((self.folder / "end.pickle").read_bytes())

    def signal_at(self, step: int, number: signal.Signals, *, rank: int) -> None:
        """Send a signal to a rank once rank 0 has told of a step."""
        deadline = time.monotonic() + 300
        while max([0, *steps_of(self.folder)]) < step:
            assert time.monotonic() < deadline
            assert all(process.poll() is None for process in self.processes)
            time.sleep(0.01)
        self.processes[rank].send_signal(number)

    def kill(self) -> None:
        """End them all, as Ray Train does where one has died."""
        for process in self.processes:
            process.kill()
        self.wait()


def start_ranks(job: TrainJob, folder: Path, *, world_size: int = 1, **extra: str) -> Ranks:
    """Start a training; ``extra`` goes into the environment."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "job.pickle").write_bytes(pickle.dumps(job))
    (folder / "store").unlink(missing_ok=True)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | extra
    command = [sys.executable, "-m", "tests.hcp.training.rank_process", str(folder)]
    processes = [
        subprocess.Popen([*command, str(rank), str(world_size)], cwd=ROOT, env=environment)
        for rank in range(world_size)
    ]
    return Ranks(folder, processes)


def steps_of(folder: Path) -> dict[int, dict[str, Any]]:
    """What rank 0 told of each step; the last attempt's counts."""
    path = folder / "steps.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return {step["step"]: step for step in map(json.loads, lines)}


def main(folder: Path, rank: int, world_size: int) -> None:
    """Run one rank."""
    import torch

    from hcp.training.stopping import note_sigterm

    note_sigterm()
    if limit := os.environ.get("TEST_FILE_BYTES"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), resource.RLIM_INFINITY))
    if world_size > 1:
        store = f"file://{folder}/store"
        torch.distributed.init_process_group(
            "gloo", init_method=store, rank=rank, world_size=world_size
        )

    def tell(kind: str, value: Any) -> None:
        with (folder / "steps.jsonl").open("a") as file:
            if kind == "step":
                file.write(json.dumps(value) + "\n")
        if kind == "seen":
            with (folder / "seen.jsonl").open("a") as file:
                file.write(json.dumps(asdict(value), default=len) + "\n")
        time.sleep(float(os.environ.get("TEST_STEP_S", "0")))

    job = pickle.loads((folder / "job.pickle").read_bytes())
    end = train_worker(job, Place(rank=rank, world_size=world_size), tell)
    if rank == 0:
        (folder / "end.pickle").write_bytes(pickle.dumps(end))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
