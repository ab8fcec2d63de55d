"""Gradients of several workers."""

from collections.abc import Sequence

import torch
from torch import nn


def average_gradients(parameters: Sequence[nn.Parameter], world_size: int) -> None:
    """Average the gradients over the workers, as one tensor.

    What trains is small next to the base in most methods, so one all-reduce after the backward
    pass replaces wrapping the base in DistributedDataParallel. A parameter without a gradient, as
    where no caption of a worker had a human word, counts as zero, and has a gradient of zeros
    afterwards.
    """
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    if world_size == 1:
        return
    flat = torch.cat([p.grad.flatten() for p in parameters if p.grad is not None])
    torch.distributed.all_reduce(flat)
    flat /= world_size
    parts = flat.split([p.numel() for p in parameters])
    for parameter, part in zip(parameters, parts, strict=True):
        parameter.grad = part.view_as(parameter).clone()
