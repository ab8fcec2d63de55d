"""A machine that will be taken back is told of once, and costs no step before its notice."""

import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from ray import cloudpickle

from flows.ray_session import ray_session
from hcp.training.checkpoints import CheckpointFolder
from hcp.training.config import Workers
from hcp.training.draining import Notices
from hcp.training.metrics import StepMetrics
from hcp.training.ray import fit
from hcp.training.watching import Event
from storage.versions import DatasetVersion
from tests.hcp.training.test_loop import CONFIG
from tests.ray_nodes import cluster_of_nodes, drain_node, late_node

STEPS = 300


def until(done: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 30
    while not done():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def test_each_change_of_what_is_announced_is_one_notice() -> None:
    notices, said = Notices(), list[object]([None])
    asked: list[object] = []

    def announced() -> object:
        asked.append(said[-1])
        return said[-1]

    notices.watch(announced, every_s=0.005)
    assert until(lambda: len(asked) > 2)
    assert not notices.take()
    for node in ("a", "a and b"):
        said.append(node)
        assert until(notices.take)
        n = len(asked)
        assert until(lambda n=n: len(asked) > n + 2)
        assert not notices.take()


def test_no_answer_ends_the_watch_alone() -> None:
    notices, asked = Notices(), list[int]()

    def announced() -> object:
        asked.append(1)
        raise ConnectionError("no head")

    notices.watch(announced, every_s=0.005)
    assert until(lambda: bool(asked))
    time.sleep(0.05)
    assert asked == [1]
    assert not notices.take()


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_node_that_is_taken_back_costs_no_step_before_its_notice(
    dataset: DatasetVersion, base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_TRAIN_PREEMPTION_POLL_INTERVAL_S", "0.5")  # five seconds else
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    seen, notes, saved = Counter[int](), list[str](), list[int]()
    config = replace(CONFIG, steps=STEPS, checkpoint_every=STEPS)  # none on a schedule
    with cluster_of_nodes() as cluster, ray_session(cluster.address), ExitStack() as others:
        first = cluster.add_node(num_cpus=1)

        def on_event(event: Event) -> None:
            if isinstance(event, StepMetrics):
                seen[event.step] += 1
                if event.step == 5:
                    others.enter_context(late_node(cluster.address, after_s=0))
                    drain_node(cluster.address, first.node_id, seconds=120)

        def on_note(note: str) -> None:
            notes.append(note)
            if "taken back" in note:
                (run,) = (tmp_path / "out").glob("train-*")
                saved.append(CheckpointFolder(str(run)).finished()[-1].step)
                cluster.remove_node(first, allow_graceful=False)

        result = fit(
            config, dataset=dataset, base=base, out=str(tmp_path / "out"),
            workers=Workers(count=1, max_failures=0), on_event=on_event, on_note=on_note,
        )  # fmt: skip
    (note,) = [note for note in notes if "taken back" in note]
    assert f"checkpoint at step {saved[0]}" in note
    assert [metrics.step for metrics in result.metrics] == list(range(1, STEPS + 1))
    again = [step for step, n in seen.items() if n > 1]
    assert all(step > saved[0] for step in again)  # it went on from there, not from the start
