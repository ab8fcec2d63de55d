"""Gradients of several workers, averaged."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline

from hcp import HcpConfig
from hcp.base import load_base
from hcp.training.batches import collate, iter_batches
from hcp.training.config import DataConfig, TrainConfig
from hcp.training.gradients import average_gradients
from hcp.training.trainer import Trainer, train_steps
from tests.hcp.samples import epoch_source, make_sample


def test_a_parameter_without_a_gradient_counts_as_zero(tmp_path: Path) -> None:
    """One process of a group of two whose other member, not there, had no gradient at all."""
    shapes = ((2,), (3, 2), (1,))
    parameters = [torch.nn.Parameter(torch.zeros(shape)) for shape in shapes]
    gradient = torch.arange(6.0).view(3, 2)
    parameters[1].grad = gradient.clone()
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1
    )
    try:
        average_gradients(parameters, 2)
    finally:
        torch.distributed.destroy_process_group()
    expected = (torch.zeros(2), gradient / 2, torch.zeros(1))
    for parameter, mean in zip(parameters, expected, strict=True):
        assert parameter.grad is not None
        assert torch.equal(parameter.grad, mean)
    alone = torch.nn.Parameter(torch.ones(2))
    average_gradients([alone], 1)
    assert torch.equal(alone.grad, torch.zeros(2))


CONFIG = TrainConfig(
    batch_size=2, ema_decay=None, max_grad_norm=1e9,
    data=DataConfig(resolution_px=32, decode_threads=1), hcp=HcpConfig(width=16),
)  # fmt: skip
CAPTIONS = ("a woman doing yoga", "two people dancing", "a red car", "a man running with a dog")
METHODS = ("hcp+value", "attention", "full")


def gradients(base: str, method: str, *, rank: int = 0, world_size: int = 1) -> list[torch.Tensor]:
    """The gradients of the second optimizer step over four samples, two at a time."""
    config = replace(CONFIG, method=method, accumulate=2 // world_size)
    trainer = Trainer(load_base(base), config, rank=rank, world_size=world_size)
    batches = iter_batches(
        epoch_source([make_sample(i, caption=CAPTIONS[i % 4]) for i in range(7)]),
        lambda examples: collate(examples, tokenizer=trainer.pipeline.tokenizer),
        batch_size=config.batch_size, config=config.data, seed=config.seed,
        rank=rank, world_size=world_size,
    )  # fmt: skip
    list(train_steps(trainer, batches, until=2))
    return [p.grad.clone() for p in trainer.parameters if p.grad is not None]


def worker(rank: int, store: str, base: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
    found = {method: gradients(base, method, rank=rank, world_size=2) for method in METHODS}
    torch.save(found, f"{base}/gradients-{rank}.pt")
    torch.distributed.barrier()  # a rank whose peer has gone is aborted by gloo
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_workers_have_the_gradients_of_one_that_accumulates_two_batches(
    pipeline: StableDiffusionPipeline, tmp_path: Path
) -> None:
    base = str(tmp_path / "base")
    pipeline.save_pretrained(base)
    torch.multiprocessing.spawn(worker, (f"file://{tmp_path}/store", base), nprocs=2)
    first, second = (torch.load(f"{base}/gradients-{rank}.pt") for rank in range(2))
    for method in METHODS:
        alone = gradients(base, method)
        assert len(alone) == len(first[method]) > 0
        scale = max(float(each.abs().max()) for each in alone)
        for one, ours, theirs in zip(alone, first[method], second[method], strict=True):
            assert torch.equal(ours, theirs)
            assert float((one - ours).abs().max()) <= 1e-5 * scale
