"""What must not end a training does not, and what must does, with a clear word."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline

from hcp import HcpAdapter, HcpConfig
from hcp.training.batches import Batch, LoaderState
from hcp.training.checkpoints import CheckpointFolder
from hcp.training.config import DataConfig, TrainConfig
from hcp.training.inputs import Inputs
from hcp.training.loop import RunEnd, Surroundings, run_training
from hcp.training.metrics import StepMetrics
from hcp.training.state import load_checkpoint
from hcp.training.trainer import Trainer
from hcp.training.worker import open_batches
from storage.errors import ShardError
from storage.versions import DatasetVersion
from tests.hcp.training.conftest import MakeDataset

CONFIG = TrainConfig(
    steps=60,
    batch_size=2,
    learning_rate=1e-3,
    warmup_steps=2,
    ema_decay=0.9,
    checkpoint_every=20,
    data=DataConfig(resolution_px=16, decode_threads=1),
    hcp=HcpConfig(width=4, stages=("mid",)),
)


def batches(
    trainer: Trainer, version: DatasetVersion, *, poison: range = range(0)
) -> Iterator[tuple[Batch, LoaderState]]:
    """The version's; the photos of some steps are not a number, as a broken cache would give."""
    first = trainer.step_done + 1
    for step, (batch, state) in enumerate(
        open_batches(trainer, Inputs(versions=(version,))), start=first
    ):
        bad = replace(batch, pixels=batch.pixels * math.nan) if step in poison else batch
        yield bad, state


def train(
    trainer: Trainer, version: DatasetVersion, folder: Path, *, poison: range = range(0)
) -> tuple[RunEnd, list[StepMetrics], list[str]]:
    seen, notes = list[StepMetrics](), list[str]()
    sizes = [count.train for count in version.counts]
    around = Surroundings(
        folder=CheckpointFolder(str(folder)),
        n_shards=len(sizes),
        n_samples=sum(sizes),
        on_metrics=seen.append,
        on_note=notes.append,
    )
    return run_training(trainer, batches(trainer, version, poison=poison), around), seen, notes


def break_shard(version: DatasetVersion, number: int) -> str:
    path = Path(version.root.shard(version.shards[number], "tar"))
    path.write_bytes(b"no tar at all" * 100)
    return path.name


def finite(folder: Path, pipeline: StableDiffusionPipeline) -> bool:
    """Whether every weight of the last checkpoint is, for use and to resume from."""
    last = CheckpointFolder(str(folder)).finished()[-1]
    trainer = Trainer(pipeline, CONFIG)
    load_checkpoint(last.uri, trainer)
    assert trainer.ema is not None
    kept = [*HcpAdapter.from_pretrained(last.uri).parameters(), *trainer.parameters]
    return all(bool(t.isfinite().all()) for t in (*kept, *trainer.ema.shadow_params))


def test_one_corrupt_shard_of_a_hundred_and_a_step_that_is_not_finite(
    make_dataset: MakeDataset, pipeline: StableDiffusionPipeline, tmp_path: Path
) -> None:
    version = make_dataset(100, 1)
    broken = break_shard(version, 40)
    trainer = Trainer(pipeline, CONFIG)
    end, seen, notes = train(trainer, version, tmp_path / "run", poison=range(50, 51))
    assert (end.error, end.step, end.stopped) == (None, 60, False)
    assert (end.skipped, end.bad_samples, len(end.bad)) == (1, 1, 1)
    assert (seen[-1].skipped, seen[-1].bad_samples) == (1, 1)
    assert [not math.isfinite(m.loss) for m in seen].index(True) == 49
    assert [broken in note for note in notes].count(True) == 1
    assert [note.startswith("step 50 skipped") for note in notes].count(True) == 1
    assert end.last is not None
    assert end.last.step == 60
    summary = end.summary()
    assert (summary["skipped_steps"], summary["bad_shards"]) == (1, 1)
    assert broken in str(summary["bad"])
    trainer.close()
    assert finite(tmp_path / "run", pipeline)


def test_more_that_cannot_be_read_than_allowed_ends_it(
    make_dataset: MakeDataset, pipeline: StableDiffusionPipeline, tmp_path: Path
) -> None:
    version = make_dataset(20, 1)
    name = break_shard(version, 3)
    trainer = Trainer(pipeline, CONFIG)
    end, _, _ = train(trainer, version, tmp_path / "run")
    trainer.close()
    assert isinstance(end.error, ShardError)
    assert name in str(end.error)
    assert "5.00% of the training split" in str(end.error)
    allowed = replace(CONFIG, max_bad_fraction=0.05, steps=20)
    end, _, _ = train(Trainer(pipeline, allowed), version, tmp_path / "other")
    assert (end.error, end.bad_samples) == (None, 1)


def test_too_many_steps_in_a_row_that_are_not_finite_end_it_with_the_weights_as_before(
    dataset: DatasetVersion, pipeline: StableDiffusionPipeline, tmp_path: Path
) -> None:
    config = replace(CONFIG, max_skipped_in_row=5, checkpoint_every=4)
    trainer = Trainer(pipeline, config)
    end, seen, _ = train(trainer, dataset, tmp_path / "run", poison=range(4, 60))
    assert isinstance(end.error, FloatingPointError)
    for said in ("5 steps in a row", "step 8", "0.001", "learning_rate"):
        assert said in str(end.error)
    assert len(seen) == 8
    assert all(bool(p.isfinite().all()) for p in trainer.parameters)
    trainer.close()
    assert finite(tmp_path / "run", pipeline)


def test_asked_to_stop_it_ends_after_the_step_with_a_checkpoint(
    dataset: DatasetVersion, pipeline: StableDiffusionPipeline, tmp_path: Path
) -> None:
    trainer = Trainer(pipeline, CONFIG)
    trainer.agreement.stop_asked = lambda: trainer.step_done >= 6
    end, seen, _ = train(trainer, dataset, tmp_path / "run")
    assert end.stopped
    assert end.last is not None
    assert end.last.step == end.step == len(seen) == 7
    before = [p.detach().clone() for p in trainer.parameters]
    trainer.close()
    again = Trainer(pipeline, CONFIG)
    load_checkpoint(end.last.uri, again)
    assert all(torch.equal(a, b) for a, b in zip(before, again.parameters, strict=True))


def test_before_its_machine_is_taken_back_there_is_a_checkpoint_and_it_goes_on(
    dataset: DatasetVersion, pipeline: StableDiffusionPipeline, tmp_path: Path
) -> None:
    trainer = Trainer(pipeline, replace(CONFIG, steps=8, checkpoint_every=4))
    trainer.agreement.save_asked = lambda: trainer.step_done in (2, 3)  # for steps 3 and 4
    finished: list[list[int]] = []
    folder = CheckpointFolder(str(tmp_path), keep=9)
    validated: list[int] = []
    around = Surroundings(
        folder=folder, n_shards=1, n_samples=8, on_note=(notes := list[str]()).append,
        look=lambda: finished.append([kept.step for kept in folder.finished()]),
        validate=lambda trainer: validated.append(trainer.step_done),
    )  # fmt: skip
    end = run_training(trainer, open_batches(trainer, Inputs(versions=(dataset,))), around)
    assert (end.step, end.stopped) == (8, False)
    assert finished[3] == [3]  # in the step itself
    assert [kept.step for kept in folder.finished()] == [3, 4, 8]
    assert validated == [8]  # in a hurry nothing is looked at
    assert [note.partition(": ")[2][:20] for note in notes] == [
        "checkpoint at step 3",
        "checkpoint at step 4",
    ]
    trainer.close()


def test_the_best_by_validation_loss_is_kept_and_told(
    dataset: DatasetVersion, pipeline: StableDiffusionPipeline, tmp_path: Path
) -> None:
    losses = {5: 0.5, 10: 0.2, 15: 0.4, 20: 0.6}
    around = Surroundings(
        folder=CheckpointFolder(str(tmp_path), keep=1),
        n_shards=1,
        n_samples=8,
        validate=lambda trainer: losses[trainer.step_done],
    )
    trainer = Trainer(pipeline, replace(CONFIG, steps=20, checkpoint_every=5))
    end = run_training(trainer, open_batches(trainer, Inputs(versions=(dataset,))), around)
    assert end.last is not None
    assert end.best is not None
    assert (end.last.step, end.best.step, end.best.validation_loss) == (20, 10, 0.2)
