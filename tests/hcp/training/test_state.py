"""A training checkpoint's contract; that a resumed run repeats itself is in test_training."""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline

from demo.embedded import SD_DIR
from hcp import HcpAdapter, HcpConfig
from hcp.base import load_base
from hcp.checkpoint import CARD, WEIGHTS
from hcp.training.batches import BadSample, LoaderState, collate, iter_batches
from hcp.training.config import DataConfig, TrainConfig
from hcp.training.state import (
    STATE_JSON,
    STATE_TENSORS,
    averaged,
    load_checkpoint,
    save_checkpoint,
)
from hcp.training.trainer import Trainer, train_steps
from storage.checkpoints import COMPLETE_NAME, listed_files, mark_complete
from storage.errors import CheckpointError
from storage.streaming import SampleStream
from storage.versions import open_version

MakePipeline = Callable[[int], StableDiffusionPipeline]
GOLDEN = Path(__file__).parents[2] / "golden"


def trained(pipeline: StableDiffusionPipeline) -> Trainer:
    """A trainer after one update of a gradient of ones, at a place in its data."""
    config = TrainConfig(steps=2, ema_decay=0.5, hcp=HcpConfig(width=8))
    trainer = Trainer(pipeline, config)
    for parameter in trainer.parameters:
        parameter.grad = torch.ones_like(parameter)
    trainer.optimizer.step()
    assert trainer.ema is not None
    trainer.ema.step(trainer.parameters)
    trainer.step_done, trainer.loader = 1, LoaderState(epoch=2, offset=3, batches=1)
    return trainer


def moments(trainer: Trainer) -> list[torch.Tensor]:
    return [trainer.optimizer.state[p]["exp_avg"] for p in trainer.parameters]


def test_everything_of_a_trainer_comes_back(
    pipeline: StableDiffusionPipeline, tmp_path: Path
) -> None:
    first = trained(pipeline)
    save_checkpoint(tmp_path / "c", first)
    first.close()
    second = Trainer(pipeline, first.config)
    load_checkpoint(str(tmp_path / "c"), second)
    assert (second.step_done, second.loader) == (1, first.loader)
    for a, b in zip(first.parameters, second.parameters, strict=True):
        assert torch.equal(a, b)
    for a, b in zip(moments(first), moments(second), strict=True):
        assert torch.equal(a, b)
        assert a.abs().max() > 0
    assert first.ema is not None
    assert second.ema is not None
    assert second.ema.optimization_step == first.ema.optimization_step == 1


def test_the_average_is_inside_for_the_block_alone_even_after_an_error(
    pipeline: StableDiffusionPipeline,
) -> None:
    trainer = trained(pipeline)
    assert trainer.ema is not None
    with torch.no_grad():
        trainer.ema.shadow_params[0].fill_(7.0)
    raw = [p.detach().clone() for p in trainer.parameters]
    seen: list[bool] = []
    with suppress(KeyboardInterrupt), averaged(trainer):
        seen.append(bool((trainer.parameters[0] == 7.0).all()))
        raise KeyboardInterrupt
    assert seen == [True]
    assert all(torch.equal(a, b) for a, b in zip(raw, trainer.parameters, strict=True))


def test_the_marker_covers_the_trainers_state(
    pipeline: StableDiffusionPipeline, tmp_path: Path
) -> None:
    trainer = trained(pipeline)
    save_checkpoint(tmp_path, trainer)
    assert {STATE_JSON, STATE_TENSORS} <= set(listed_files(str(tmp_path)))
    (tmp_path / COMPLETE_NAME).unlink()
    with pytest.raises(CheckpointError):
        load_checkpoint(tmp_path, trainer)


def test_what_cannot_be_resumed_is_said(pipeline: StableDiffusionPipeline, tmp_path: Path) -> None:
    trainer = trained(pipeline)
    trainer.method.adapter.save_pretrained(tmp_path / "use")
    with pytest.raises(CheckpointError, match="for use only"):
        load_checkpoint(tmp_path / "use", trainer)
    save_checkpoint(tmp_path / "old", trainer)
    rewrite(tmp_path / "old", format=0)
    with pytest.raises(CheckpointError, match="format 0, expected 2 or 1"):
        load_checkpoint(tmp_path / "old", trainer)


def rewrite(folder: Path, **changes: object) -> None:
    """Change a checkpoint's state, with a marker that knows of it."""
    path = folder / STATE_JSON
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    mark_complete(str(folder), (WEIGHTS, CARD, STATE_TENSORS, STATE_JSON))


@pytest.mark.parametrize(
    ("before", "now", "accumulate"),
    [((2, 1), 1, 2), ((1, 4), 2, 2), ((1, 2), 2, 1), ((2, 1), 2, 1)],
)
def test_another_number_of_workers_keeps_the_batches_of_a_step(
    make_pipeline: MakePipeline,
    tmp_path: Path,
    before: tuple[int, int],
    now: int,
    accumulate: int,
) -> None:
    first = trained(make_pipeline(0))
    first.world_size, first.config = before[0], replace(first.config, accumulate=before[1])
    save_checkpoint(tmp_path / "c", first)
    second = Trainer(make_pipeline(0), first.config, world_size=now)
    load_checkpoint(tmp_path / "c", second)
    assert second.config.accumulate == accumulate
    assert second.loader == first.loader


def test_workers_among_whom_a_step_cannot_be_shared_out_are_warned_of(
    make_pipeline: MakePipeline, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = trained(make_pipeline(0))
    save_checkpoint(tmp_path / "c", first)
    second = Trainer(make_pipeline(0), first.config, world_size=2)
    load_checkpoint(tmp_path / "c", second)
    assert second.config.accumulate == 1
    assert second.loader == first.loader
    assert "a step had 1 batches and has 2 now, on 2 workers" in caplog.text


def test_several_workers_of_the_version_before_go_on_in_the_same_epoch(
    make_pipeline: MakePipeline, tmp_path: Path
) -> None:
    first = trained(make_pipeline(0))
    save_checkpoint(tmp_path / "c", first)
    config = first.config
    layout = {
        "batch_size": config.batch_size, "accumulate": 1, "aspects": [1.0], "world_size": 2,
        "seed": config.seed, "ema": True,
    }  # fmt: skip
    loader = {"epoch": 1, "offset": 3 * config.batch_size, "batches": 0}
    rewrite(tmp_path / "c", format=1, layout=layout, loader=loader)
    second = Trainer(make_pipeline(0), config)
    load_checkpoint(tmp_path / "c", second)
    assert second.config.accumulate == 2
    assert second.loader == LoaderState(epoch=1, offset=6 * config.batch_size)
    assert second.agreement.skipped == 0


def test_what_was_skipped_and_unreadable_comes_back(
    make_pipeline: MakePipeline, tmp_path: Path
) -> None:
    first = trained(make_pipeline(0))
    first.agreement.count(finite=False)
    first.agreement.settle([0.0], bad=[BadSample("a.tar", "k", "broken")])
    save_checkpoint(tmp_path / "c", first)
    second = Trainer(make_pipeline(0), first.config)
    load_checkpoint(tmp_path / "c", second)
    assert (second.agreement.skipped, second.agreement.bad_samples) == (1, 1)


def test_a_run_of_the_version_before_is_resumed() -> None:
    given = json.loads((GOLDEN / "train.json").read_text())
    config = TrainConfig(
        **{name: given[name] for name in ("batch_size", "ema_decay", "seed")},
        data=DataConfig(resolution_px=given["resolution_px"]),
        hcp=HcpConfig.from_json(given["hcp"]),
    )  # fmt: skip
    trainer = Trainer(load_base(str(SD_DIR), device="cpu"), config)
    step = next((GOLDEN / "training").glob("train-*/step-00000002"))
    load_checkpoint(step, trainer)
    assert trainer.step_done == 2
    version = open_version(str(GOLDEN / "data"))
    batches = iter_batches(
        SampleStream(version, split="train", seed=config.seed),
        lambda examples: collate(examples, tokenizer=trainer.pipeline.tokenizer),
        batch_size=config.batch_size, config=config.data, seed=config.seed, state=trainer.loader,
    )  # fmt: skip
    steps = list(train_steps(trainer, batches, until=4))
    assert [m.step for m in steps] == [3, 4]
    # What that version itself went on with on this base.
    assert [m.loss for m in steps] == pytest.approx([0.147125185, 0.044430256], rel=1e-6)
    assert [m.alignment for m in steps] == pytest.approx([0.017740786, 0.060644265], rel=1e-6)
    assert HcpAdapter.from_pretrained(GOLDEN / "training" / "latest").card.step == 2
