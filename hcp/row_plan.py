"""The rows of a U-Net batch that have human tokens, and how to work on them alone.

B batch rows of the U-Net, K text tokens, R rows with human tokens, J selected tokens.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSelection:
    """The human tokens of each row, packed to the left."""

    columns: Tensor  # [B, J] int64, token positions; 0 where not valid
    valid: Tensor  # [B, J] bool
    kinds: Tensor | None  # [B, J] int64 as in hcp.targets, 0 where not valid


@dataclass(frozen=True, slots=True, kw_only=True)
class RowPlan:
    """The rows of a batch that have human tokens; the others take the base path only."""

    batch: int
    index: Tensor | None  # [R] int64; None: all rows
    token_mask: Tensor  # [R, K] bool
    columns: Tensor  # [R, J] int64

    def take(self, rows: Tensor) -> Tensor:
        """The rows [R, ...] of a tensor [B, ...]."""
        return rows if self.index is None else rows.index_select(0, self.index)

    def add(self, rows: Tensor, update: Tensor) -> Tensor:
        """``rows`` [B, ...] plus ``update`` [R, ...]; rows outside the plan keep every bit."""
        if self.index is None:
            return rows + update
        return rows.index_add(0, self.index, update.to(rows.dtype))

    def spread(self, rows: Tensor) -> Tensor:
        """Rows [R, ...] as [B, ...], zero outside the plan."""
        if self.index is None:
            return rows
        return self.add(rows.new_zeros(self.batch, *rows.shape[1:]), rows)

    def put(self, rows: Tensor, new: Tensor) -> Tensor:
        """``rows`` [B, ...] with ``new`` [R, ...] in the plan's rows; the others keep every bit."""
        new = new.to(rows.dtype)
        return new if self.index is None else rows.index_copy(0, self.index, new)

    def to(self, device: torch.device) -> "RowPlan":
        """The same plan with its tensors on ``device``."""
        return RowPlan(
            batch=self.batch,
            index=None if self.index is None else self.index.to(device),
            token_mask=self.token_mask.to(device),
            columns=self.columns.to(device),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DensePlan:
    """All rows of a batch: the same operations whichever have human tokens, for compilers.

    Rows without human tokens keep every bit, whatever the human term makes of them.
    """

    token_mask: Tensor  # [B, K] bool
    scale: Tensor  # strength of the human term, a number

    def take(self, rows: Tensor) -> Tensor:
        """As in ``RowPlan``, all rows."""
        return rows

    def add(self, rows: Tensor, update: Tensor) -> Tensor:
        """As in ``RowPlan``."""
        return self.put(rows, rows + update.to(rows.dtype))

    def put(self, rows: Tensor, new: Tensor) -> Tensor:
        """As in ``RowPlan``."""
        human = self.token_mask.any(dim=1).reshape(-1, *[1] * (rows.ndim - 1))
        return torch.where(human, new.to(rows.dtype), rows)


def plan_rows(token_mask: Tensor) -> RowPlan | None:
    """The plan for a token mask, bool [B, K]; None where no row has human tokens."""
    human = token_mask.any(dim=1)
    if not human.any():
        return None
    index = None if human.all() else human.nonzero().squeeze(1)
    rows = token_mask if index is None else token_mask[index]
    return RowPlan(
        batch=len(token_mask), index=index, token_mask=rows, columns=select_tokens(rows).columns
    )


def select_tokens(token_mask: Tensor, kinds: Tensor | None = None) -> TokenSelection:
    """The human tokens of a mask, bool [B, K], with their kinds [B, K] where these are given."""
    width = max(1, int(token_mask.sum(dim=1).max())) if len(token_mask) else 1
    order = token_mask.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :width]
    valid = token_mask.gather(1, order)
    columns = order.masked_fill(~valid, 0)
    picked = None
    if kinds is not None:
        picked = kinds.detach().to("cpu", torch.int64).gather(1, columns).masked_fill(~valid, 0)
    return TokenSelection(columns=columns, valid=valid, kinds=picked)
