"""What a method gives the training loop; everything else is the same for all of them.

Dimension legend: B batch, h w height and width of the latents.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn

from hcp.base import BasePipeline
from hcp.checkpoint import AdapterCard
from hcp.config import Stage
from hcp.training.batches import Batch
from hcp.training.methods.cards import MethodCard

C = TypeVar("C", AdapterCard, MethodCard)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a method adds to the denoising loss of one forward pass; scalars."""

    total: Tensor  # as it is added to the denoising loss, weights included
    alignment: Tensor  # the alignment loss, weighted by lambda(t), before alpha
    by_stage: Mapping[Stage, Tensor] = field(default_factory=dict[Stage, Tensor])
    """Alignment loss of each stage before lambda, of samples that have human words; detached."""
    attention_share: Tensor | None = None
    """Share of human words' attention inside the person masks; not a number where no sample has
    both, None where there are no maps; detached."""
    share_by_stage: Mapping[Stage, Tensor] = field(default_factory=dict[Stage, Tensor])
    """The same of each stage's layers."""


def no_terms(device: torch.device) -> Terms:
    """Nothing is added: the denoising loss alone."""
    zero = torch.zeros((), device=device)
    return Terms(total=zero, alignment=zero)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a checkpoint for use says about its training."""

    step: int
    dataset_version: str | None = None
    teachers: tuple[str, ...] = ()  # as of hcp.checkpoint.AdapterCard

    def on(self, card: C) -> C:
        """The card of a method's weights, with these facts."""
        return replace(
            card, step=self.step, dataset_version=self.dataset_version, teachers=self.teachers
        )


class Method(Protocol):
    """One way of training, inside one pipeline from its making until ``close``.

    The loop calls, for each forward pass: ``around``, in it the U-Net, ``pixel_weight``,
    ``extra`` and the backward pass.
    """

    name: str  # of hcp.training.methods.names.METHODS

    def named_parameters(self) -> Sequence[tuple[str, nn.Parameter]]:
        """What trains, always in the same order under the same names."""
        ...

    def around(self, batch: Batch) -> AbstractContextManager[None]:
        """The context of a batch's forward and backward pass."""
        ...

    def pixel_weight(self, batch: Batch, size: tuple[int, int]) -> Tensor | None:
        """Weight of the denoising loss per latent pixel, [B, h, w] of mean 1; None: all alike."""
        ...

    def extra(self, batch: Batch, timesteps: Tensor, size: tuple[int, int]) -> Terms:
        """The other losses, after the U-Net's call on latents of this height and width."""
        ...

    def drawing(self, pipeline: BasePipeline) -> AbstractContextManager[None]:
        """The context in which the pipeline, which this method trains, draws with what it learnt.

        For a look while the training runs; the training goes on afterwards.
        """
        ...

    def save(self, uri: str, facts: Facts) -> tuple[str, ...]:
        """Write the files that a checkpoint for use holds, without its marker; their names."""
        ...

    def start_from(self, uri: str, *, any_base: bool = False) -> None:
        """Take the weights of a checkpoint for use, of this method or of one with its layout.

        ``any_base`` takes one of a base with other weights and the same layout.

        Raises:
            CheckpointError: incomplete or changed, of another method or layout (the message says
                what differs), or made for another base.
        """
        ...

    def check(self, uri: str) -> None:
        """See that a checkpoint was trained with the same settings of the method.

        Raises:
            CheckpointError: it was not.
        """
        ...

    def close(self) -> None:
        """Take out of the pipeline what was put into it."""
        ...
