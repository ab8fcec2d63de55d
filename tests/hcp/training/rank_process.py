"""Workers of a training as processes of their own, in a gloo group, without Ray.

Rank 0 appends its steps to ``FOLDER/steps.jsonl``, its validations to ``FOLDER/seen.jsonl``, and
writes how it ended to ``FOLDER/end.pickle``. All are forked from one process that has imported what
a training needs, which takes seconds, and has done nothing else.
"""

import json
import multiprocessing
import os
import pickle
import resource
import signal
import time
from dataclasses import asdict, dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

from hcp.training.loop import RunEnd
from hcp.training.stopping import note_sigterm
from hcp.training.worker import Place, TrainJob, train_worker

_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload([__name__])


@dataclass
class Ranks:
    """The processes of one attempt."""

    folder: Path
    processes: list[BaseProcess]

    def wait(self, timeout_s: float = 300) -> list[int | None]:
        """Exit codes by rank."""
        for process in self.processes:
            process.join(timeout_s)
        return [process.exitcode for process in self.processes]

    def end(self) -> RunEnd:
        """How rank 0 ended."""
        assert self.wait() == [0] * len(self.processes)
        return pickle.loads((self.folder / "end.pickle").read_bytes())

    def signal_at(self, step: int, number: signal.Signals, *, rank: int) -> None:
        """Send a signal to a rank once rank 0 has told of a step."""
        deadline = time.monotonic() + 300
        while max([0, *steps_of(self.folder)]) < step:
            assert time.monotonic() < deadline
            assert all(process.is_alive() for process in self.processes)
            time.sleep(0.01)
        os.kill(self.processes[rank].pid or 0, number)

    def kill(self) -> None:
        """End them all, as Ray Train does where one has died."""
        for process in self.processes:
            process.kill()
        self.wait()


def start_ranks(
    job: TrainJob,
    folder: Path,
    *,
    world_size: int = 1,
    step_s: float = 0.0,
    file_bytes: int | None = None,
) -> Ranks:
    """Start a training.

    Args:
        job: what each rank runs.
        folder: of what rank 0 tells.
        world_size: how many ranks.
        step_s: how long a step takes longer.
        file_bytes: no file may grow larger; None: as large as it likes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "store").unlink(missing_ok=True)
    processes: list[BaseProcess] = [
        _PROCESSES.Process(
            target=_run,
            args=(job, folder, Place(rank=rank, world_size=world_size)),
            kwargs={"step_s": step_s, "file_bytes": file_bytes},
        )
        for rank in range(world_size)
    ]
    for process in processes:
        process.start()
    return Ranks(folder, processes)


def steps_of(folder: Path) -> dict[int, dict[str, Any]]:
    """What rank 0 told of each step; the last attempt's counts."""
    path = folder / "steps.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return {step["step"]: step for step in map(json.loads, lines)}


def _run(
    job: TrainJob, folder: Path, place: Place, *, step_s: float, file_bytes: int | None
) -> None:
    torch.set_num_threads(1)
    note_sigterm()
    if file_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, resource.RLIM_INFINITY))
    if place.world_size > 1:
        torch.distributed.init_process_group(
            "gloo",
            init_method=f"file://{folder}/store",
            rank=place.rank,
            world_size=place.world_size,
        )

    def tell(kind: str, value: Any) -> None:
        with (folder / "steps.jsonl").open("a") as file:
            if kind == "step":
                file.write(json.dumps(value) + "\n")
        if kind == "seen":
            with (folder / "seen.jsonl").open("a") as file:
                file.write(json.dumps(asdict(value), default=len) + "\n")
        time.sleep(step_s)

    end = train_worker(job, place, tell)
    if place.rank == 0:
        (folder / "end.pickle").write_bytes(pickle.dumps(end))
