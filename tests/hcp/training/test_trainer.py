"""Training steps: what they change, what they repeat, what stops them."""

import dataclasses
import math
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path

import pytest
import torch
from diffusers import DDPMScheduler, StableDiffusionPipeline

from hcp import HcpAdapter, HcpConfig
from hcp.config import AlignmentConfig
from hcp.training.batches import Batch, LoaderState, collate, iter_batches
from hcp.training.config import DataConfig, TrainConfig
from hcp.training.denoising import step_generator
from hcp.training.state import STATE_TENSORS, load_checkpoint, save_checkpoint
from hcp.training.trainer import Trainer, train_steps
from storage.errors import CheckpointError
from tests.hcp.samples import epoch_source, make_sample
from tests.hcp.training import tiny_runs

CONFIG = TrainConfig(
    steps=6,
    batch_size=2,
    learning_rate=1e-3,
    warmup_steps=2,
    ema_decay=0.9,
    data=DataConfig(resolution_px=32, caption_dropout=0.2, decode_threads=1),
    hcp=HcpConfig(width=16, gate="zero"),
)
CAPTIONS = ("a woman doing yoga", "two people dancing", "a red car", "a man running with a dog")
SAMPLES = [make_sample(i, caption=CAPTIONS[i % 4]) for i in range(7)]

MakePipeline = Callable[[int], StableDiffusionPipeline]
stream, run = (partial(each, samples=SAMPLES) for each in (tiny_runs.batches, tiny_runs.run))


def state_of(pipeline: StableDiffusionPipeline) -> dict[str, torch.Tensor]:
    return {
        f"{part}.{name}": tensor.clone()
        for part in ("unet", "vae", "text_encoder")
        for name, tensor in getattr(pipeline, part).state_dict().items()
    }


def test_only_hcp_parameters_train_and_the_base_keeps_every_bit(
    pipeline: StableDiffusionPipeline,
) -> None:
    before = state_of(pipeline)
    trainer = Trainer(pipeline, CONFIG)
    start = {n: p.detach().clone() for n, p in trainer.method.adapter.named_parameters()}
    run(trainer, 3)
    assert all(name.startswith("hcp.") for name in start)
    assert all(not torch.equal(p, start[n]) for n, p in trainer.method.adapter.named_parameters())
    trainer.close()
    after = state_of(pipeline)
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_a_resumed_run_takes_the_same_steps(make_pipeline: MakePipeline, tmp_path: Path) -> None:
    whole_trainer = Trainer(make_pipeline(0), CONFIG)
    whole = run(whole_trainer, 6)
    first = Trainer(make_pipeline(0), CONFIG)
    head = run(first, 3)
    save_checkpoint(tmp_path / "step-3", first)
    second = Trainer(make_pipeline(0), CONFIG)
    load_checkpoint(tmp_path / "step-3", second)
    assert head + run(second, 6) == whole
    for a, b in zip(whole_trainer.parameters, second.parameters, strict=True):
        assert torch.equal(a, b)
    assert whole_trainer.ema is not None
    assert second.ema is not None
    for a, b in zip(whole_trainer.ema.shadow_params, second.ema.shadow_params, strict=True):
        assert torch.equal(a, b)


def test_saving_changes_nothing_and_gives_the_moving_average(
    pipeline: StableDiffusionPipeline, tmp_path: Path
) -> None:
    trainer = Trainer(pipeline, CONFIG, base_model="tiny", dataset_version="v1")
    run(trainer, 2)
    raw = [p.detach().clone() for p in trainer.parameters]
    save_checkpoint(tmp_path / "c", trainer)
    assert all(torch.equal(a, b) for a, b in zip(raw, trainer.parameters, strict=True))
    loaded = HcpAdapter.from_pretrained(tmp_path / "c")
    assert trainer.ema is not None
    for a, b in zip(loaded.parameters(), trainer.ema.shadow_params, strict=True):
        assert torch.equal(a, b)
    card = loaded.card
    assert (card.step, card.base_model, card.dataset_version) == (2, "tiny", "v1")
    names = {p.name for p in (tmp_path / "c").rglob("*") if p.is_file()}
    assert not [n for n in names if not n.endswith((".safetensors", ".json"))]


def test_a_changed_checkpoint_is_refused(pipeline: StableDiffusionPipeline, tmp_path: Path) -> None:
    trainer = Trainer(pipeline, CONFIG)
    run(trainer, 1)
    save_checkpoint(tmp_path / "c", trainer)
    blob = bytearray((tmp_path / "c" / STATE_TENSORS).read_bytes())
    blob[-1] ^= 1
    (tmp_path / "c" / STATE_TENSORS).write_bytes(blob)
    with pytest.raises(CheckpointError, match=r"state\.safetensors"):
        load_checkpoint(tmp_path / "c", trainer)


def test_a_checkpoint_of_other_settings_is_refused(
    make_pipeline: MakePipeline, tmp_path: Path
) -> None:
    trainer = Trainer(make_pipeline(0), CONFIG)
    run(trainer, 1)
    save_checkpoint(tmp_path / "c", trainer)
    other = Trainer(make_pipeline(0), dataclasses.replace(CONFIG, batch_size=1))
    with pytest.raises(CheckpointError, match="batch_size"):
        load_checkpoint(tmp_path / "c", other)
    fixed = dataclasses.replace(CONFIG, hcp=HcpConfig(width=16, gate="fixed"))
    with pytest.raises(CheckpointError, match="HcP settings"):
        load_checkpoint(tmp_path / "c", Trainer(make_pipeline(0), fixed))


def test_alignment_falls_when_only_it_is_trained(pipeline: StableDiffusionPipeline) -> None:
    hcp = HcpConfig(width=32, alignment=AlignmentConfig(alpha=50.0, distance="centred_cosine"))
    config = dataclasses.replace(CONFIG, hcp=hcp, learning_rate=3e-3, batch_size=4)
    trainer = Trainer(pipeline, config)
    batch = next(iter(stream(trainer)))
    first = trainer.step([batch]).alignment
    for _ in range(30):
        trainer.step_done = 0  # the same noise every time
        last = trainer.step([batch]).alignment
    assert last < 0.9 * first


def test_accumulating_two_batches_averages_their_gradients(make_pipeline: MakePipeline) -> None:
    trainer = Trainer(make_pipeline(0), dataclasses.replace(CONFIG, max_grad_norm=1e9))
    batches = list(islice(stream(trainer), 2))
    trainer.step(batches)
    together = [p.grad.clone() for p in trainer.parameters if p.grad is not None]
    parts: list[list[torch.Tensor]] = []
    for i, (batch, _) in enumerate(batches):
        alone = Trainer(make_pipeline(0), CONFIG)
        alone._backward(batch, step_generator(CONFIG.seed, 0, 0, i), share=1.0)
        parts.append([torch.zeros_like(p) if p.grad is None else p.grad for p in alone.parameters])
    for total, a, b in zip(together, *parts, strict=True):
        torch.testing.assert_close(total, (a + b) / 2, rtol=1e-4, atol=1e-7)


def test_gradient_checkpointing_changes_no_gradient(make_pipeline: MakePipeline) -> None:
    grads: list[list[torch.Tensor]] = []
    for checkpointing in (False, True):
        config = dataclasses.replace(
            CONFIG, gradient_checkpointing=checkpointing, hcp=HcpConfig(width=16)
        )
        trainer = Trainer(make_pipeline(0), config)
        trainer.step([next(iter(stream(trainer)))])
        grads.append([p.grad for p in trainer.parameters if p.grad is not None])
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-7)


def test_no_autograd_before_the_first_hcp_layer(pipeline: StableDiffusionPipeline) -> None:
    trainer = Trainer(pipeline, CONFIG)
    seen: dict[str, bool] = {}
    unet = pipeline.unet
    for name, module in (("down", unet.down_blocks[-1]), ("up", unet.up_blocks[-1])):

        def hook(_module: object, _args: object, out: object, name: str = name) -> None:
            tensor = out if isinstance(out, torch.Tensor) else out[0]
            seen[name] = tensor.requires_grad

        module.register_forward_hook(hook)
    run(trainer, 1)
    assert seen == {"down": False, "up": True}


def test_a_batch_without_human_words_is_a_step_without_gradient(
    pipeline: StableDiffusionPipeline,
) -> None:
    trainer = Trainer(pipeline, dataclasses.replace(CONFIG, ema_decay=None))
    empty = next(
        iter_batches(
            epoch_source([make_sample(i, caption="a red car") for i in range(2)]),
            lambda examples: collate(examples, tokenizer=pipeline.tokenizer),
            batch_size=2,
            config=CONFIG.data,
            seed=0,
        )
    )
    metrics = trainer.step([empty])
    assert metrics.grad_norm == 0.0
    assert metrics.alignment == 0.0
    assert metrics.denoise > 0.0


def test_steps_that_cannot_be_trained_are_refused(pipeline: StableDiffusionPipeline) -> None:
    pipeline.scheduler = DDPMScheduler(prediction_type="sample")
    with pytest.raises(ValueError, match="sample"):
        Trainer(pipeline, CONFIG)
    with pytest.raises(ValueError, match="batch_size"):
        TrainConfig(batch_size=0)


def poisoned(item: tuple[Batch, LoaderState]) -> tuple[Batch, LoaderState]:
    batch, state = item
    return dataclasses.replace(batch, pixels=batch.pixels * torch.nan), state


def test_a_step_that_is_not_finite_is_skipped_and_the_next_one_taken(
    make_pipeline: MakePipeline, tmp_path: Path
) -> None:
    def broken(trainer: Trainer) -> Iterator[tuple[Batch, LoaderState]]:
        first = trainer.step_done
        for i, item in enumerate(stream(trainer), start=first + 1):
            yield poisoned(item) if i == 3 else item

    trainer = Trainer(make_pipeline(0), CONFIG)
    whole = list(train_steps(trainer, broken(trainer), until=2))
    before = [p.detach().clone() for p in trainer.parameters]
    save_checkpoint(tmp_path / "c", trainer)
    whole += list(train_steps(trainer, broken(trainer), until=3))
    assert not math.isfinite(whole[2].loss)
    assert all(torch.equal(a, b) for a, b in zip(before, trainer.parameters, strict=True))
    assert (trainer.step_done, trainer.agreement.skipped) == (3, 1)
    whole += list(train_steps(trainer, broken(trainer), until=5))
    assert [m.skipped for m in whole] == [0, 0, 1, 1, 1]
    assert trainer.ema is not None
    assert all(t.isfinite().all() for t in (*trainer.parameters, *trainer.ema.shadow_params))
    # From an older checkpoint the same step is skipped again, and then it goes on as before.
    again = Trainer(make_pipeline(0), CONFIG)
    load_checkpoint(tmp_path / "c", again)
    rest = list(train_steps(again, broken(again), until=5))
    assert [m.loss for m in rest[1:]] == [m.loss for m in whole[3:]]
    assert [m.skipped for m in rest] == [1, 1, 1]


def test_a_gradient_that_is_not_finite_is_skipped_too(pipeline: StableDiffusionPipeline) -> None:
    trainer = Trainer(pipeline, CONFIG)
    trainer.parameters[0].register_hook(lambda grad: grad * torch.inf)
    before = [p.detach().clone() for p in trainer.parameters]
    metrics = trainer.step([next(iter(stream(trainer)))])
    assert math.isfinite(metrics.loss)
    assert metrics.skipped == 1
    assert all(torch.equal(a, b) for a, b in zip(before, trainer.parameters, strict=True))


def test_learning_rate_warms_up_linearly() -> None:
    config = TrainConfig(learning_rate=1.0, warmup_steps=4)
    assert [config.rate(s) for s in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]
