"""A training whose machine is taken back: a checkpoint at the notice, and on from it elsewhere."""

import sys
from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from ray import cloudpickle

from flows.ray_session import ray_session
from hcp.training.checkpoints import CheckpointFolder
from hcp.training.config import Workers
from hcp.training.metrics import StepMetrics
from hcp.training.ray import fit
from hcp.training.watching import Event
from storage.versions import DatasetVersion
from tests.hcp.training.test_loop import CONFIG
from tests.ray_nodes import cluster_of_nodes, drain_node, late_node

pytestmark = [pytest.mark.ray, pytest.mark.slow]

STEPS = 300


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
