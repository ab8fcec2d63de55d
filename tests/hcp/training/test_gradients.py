"""Gradients of several workers, averaged."""

from pathlib import Path

import torch

from hcp.training.gradients import average_gradients


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
