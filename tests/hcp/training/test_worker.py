"""Whole trainings in processes of their own, without Ray: killed, stopped, with a full disk."""

import json
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import CLIPTokenizer

from hcp import HcpConfig
from hcp.checkpoint import read_checkpoint
from hcp.config import AlignmentConfig, PriorTable
from hcp.training.checkpoints import CheckpointFolder
from hcp.training.config import DataConfig, TrainConfig
from hcp.training.methods.names import METHODS
from hcp.training.worker import Place, TrainJob, make_trainer, train_worker
from storage.errors import CheckpointError, HcpError, WeightsError
from storage.versions import DatasetVersion
from tests.hcp.layouts import layout_pipeline
from tests.hcp.single_files import save_settings, save_single_file
from tests.hcp.training.rank_process import start_ranks, steps_of
from tests.left_files import LEFT

CONFIG = TrainConfig(
    steps=8,
    batch_size=2,
    learning_rate=1e-3,
    warmup_steps=2,
    ema_decay=0.9,
    checkpoint_every=3,
    data=DataConfig(resolution_px=32, caption_dropout=0.2, decode_threads=1),
    hcp=HcpConfig(width=16),
)

EDM = json.dumps({"_class_name": "EDMEulerScheduler", "sigma_max": 80.0}).encode()


@pytest.fixture
def job(dataset: DatasetVersion, base: str, tmp_path: Path) -> TrainJob:
    return TrainJob(
        config=CONFIG, root=dataset.root.uri, version=dataset.id, base=base,
        run=str(tmp_path / "run"),
    )  # fmt: skip


def losses(folder: Path) -> list[float]:
    steps = steps_of(folder)
    assert list(steps) == list(range(1, len(steps) + 1))
    return [step["loss"] for step in steps.values()]


def whole(job: TrainJob, folder: Path, *, world_size: int = 1) -> list[float]:
    """The losses of an uninterrupted run."""
    ranks = start_ranks(replace(job, run=f"{folder}/run"), folder, world_size=world_size)
    assert ranks.end().error is None
    return losses(folder)


@pytest.mark.slow
@pytest.mark.parametrize("world_size", [1, 2])
def test_a_killed_run_goes_on_as_if_nothing_had_been(
    job: TrainJob, tmp_path: Path, world_size: int
) -> None:
    expected = whole(job, tmp_path / "whole", world_size=world_size)
    folder = tmp_path / "killed"
    ranks = start_ranks(job, folder, world_size=world_size, step_s=0.1)
    ranks.signal_at(5, signal.SIGKILL, rank=world_size - 1)
    ranks.kill()
    assert start_ranks(job, folder, world_size=world_size).end().step == 8
    assert losses(folder) == pytest.approx(expected, abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("method", [name for name in METHODS if name != "hcp"])
def test_a_killed_run_of_any_method_goes_on(job: TrainJob, tmp_path: Path, method: str) -> None:
    job = replace(job, config=replace(job.config, method=method))
    expected: list[float] = []

    def tell(kind: str, value: Any) -> None:
        if kind == "step":
            expected.append(value["loss"])

    assert train_worker(replace(job, run=f"{tmp_path}/whole"), Place(), tell).error is None
    folder = tmp_path / "killed"
    start_ranks(job, folder, step_s=0.1).signal_at(5, signal.SIGKILL, rank=0)
    assert start_ranks(job, folder).end().step == 8
    assert losses(folder) == pytest.approx(expected, abs=1e-6)


@pytest.mark.slow
def test_two_workers_stop_at_the_same_step_with_a_checkpoint(job: TrainJob, tmp_path: Path) -> None:
    expected = whole(job, tmp_path / "whole", world_size=2)
    folder = tmp_path / "stopped"
    ranks = start_ranks(job, folder, world_size=2, step_s=0.2)
    ranks.signal_at(4, signal.SIGTERM, rank=1)
    end = ranks.end()
    assert end.stopped
    assert 4 < end.step < 8
    assert end.last is not None
    assert end.last.step == end.step == max(steps_of(folder))
    assert start_ranks(job, folder, world_size=2).end().step == 8
    assert losses(folder) == pytest.approx(expected, abs=1e-6)


@pytest.mark.slow
def test_two_workers_take_the_steps_of_one_that_accumulates_two(
    job: TrainJob, tmp_path: Path
) -> None:
    two = whole(job, tmp_path / "two", world_size=2)
    one_job = replace(job, config=replace(job.config, accumulate=2))
    assert whole(one_job, tmp_path / "one") == pytest.approx(two, rel=1e-4)
    # Two go on from a checkpoint of one, and one from a checkpoint of two.
    for first, then in ((1, 2), (2, 1)):
        folder = tmp_path / f"{first}-{then}"
        begun = one_job if first == 1 else job
        ranks = start_ranks(begun, folder, world_size=first, step_s=0.2)
        ranks.signal_at(3, signal.SIGTERM, rank=0)
        assert ranks.end().stopped
        end = start_ranks(replace(begun, run=job.run), folder, world_size=then).end()
        assert (end.step, end.error) == (8, None)
        assert losses(folder) == pytest.approx(two, rel=1e-4)
        for path in Path(job.run).iterdir():
            path.rename(tmp_path / f"{first}-{then}-{path.name}")


@pytest.mark.slow
def test_a_full_disk_keeps_the_last_good_checkpoint_and_the_run_goes_on(
    job: TrainJob, tmp_path: Path
) -> None:
    """No file may grow past a limit, as the kernel says it of a full quota."""
    folder = tmp_path / "full"
    longer = replace(job, config=replace(job.config, steps=4))
    ranks = start_ranks(longer, folder, step_s=0.2)
    ranks.signal_at(2, signal.SIGTERM, rank=0)
    first = ranks.end()
    assert first.last is not None
    ranks = start_ranks(job, folder, file_bytes=20_000)
    end = ranks.end()
    assert max(steps_of(folder)) == 8
    assert end.failed_checkpoints == len([s for s in (3, 6, 8) if s > first.step])
    assert isinstance(end.error, CheckpointError)
    assert "--resume" in str(end.error)
    assert end.last == first.last
    assert [kept.step for kept in CheckpointFolder(job.run).finished()] == [first.step]
    read_checkpoint(first.last.uri)
    assert start_ranks(job, folder).end().error is None


def test_what_cannot_start_is_in_the_result(job: TrainJob) -> None:
    end = train_worker(replace(job, base="nowhere/at/all"), Place(), lambda *_: None)
    assert isinstance(end.error, HcpError)
    assert "nowhere" in str(end.error)


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("text_encoder/model.safetensors", LEFT["lfs"][0], "Git LFS pointer"),
        ("vae/diffusion_pytorch_model.safetensors", LEFT["html"][0], "HTML page"),
        ("unet/config.json", LEFT["xml"][0], "XML page"),
        ("scheduler/scheduler_config.json", EDM, "EDMEulerScheduler: the noise of EDM"),
    ],
)
def test_b03_b04_a_base_that_cannot_be_served_is_in_the_result(
    job: TrainJob, file: str, content: bytes, said: str
) -> None:
    # What were raised, Ray would try again, as often as workers.max_failures says.
    base = Path(job.base)
    (base / file).write_bytes(content)
    if content is EDM:
        index = base / "model_index.json"
        named = json.loads(index.read_text()) | {"scheduler": ["diffusers", "EDMEulerScheduler"]}
        index.write_text(json.dumps(named))
    end = train_worker(job, Place(), lambda *_: None)
    assert isinstance(end.error, HcpError)
    assert said in str(end.error)


@pytest.mark.parametrize("kind", ["lfs", "html"])
def test_b03_a_resnet_that_is_none_is_in_the_result(
    job: TrainJob, kind: str, tmp_path: Path
) -> None:
    content, said = LEFT[kind]
    (tmp_path / "resnet50.pth").write_bytes(content)
    alignment = AlignmentConfig(priors=PriorTable(person=("resnet50",)))
    config = replace(
        job.config, resnet_weights=str(tmp_path / "resnet50.pth"),
        hcp=replace(job.config.hcp, alignment=alignment),
    )  # fmt: skip
    end = train_worker(replace(job, config=config), Place(), lambda *_: None)
    assert isinstance(end.error, WeightsError)
    assert said in str(end.error)


def test_b01_a_training_begins_on_a_single_file(
    job: TrainJob, tiny_tokenizer: CLIPTokenizer, tmp_path: Path
) -> None:
    pipeline, path = layout_pipeline("sd1", tiny_tokenizer), tmp_path / "tune.safetensors"
    save_single_file(pipeline, path)
    save_settings(pipeline, path.with_suffix(""))
    trainer = make_trainer(replace(job, base=str(path)), Place())
    expected = pipeline.unet.state_dict()
    found = trainer.pipeline.unet.state_dict()
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    assert trainer.base_model == str(path)
