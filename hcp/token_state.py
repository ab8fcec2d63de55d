"""Which tokens of the running batch are human: what the pipeline tells the HcP layers.

B batch rows of the U-Net, N prompts, K text tokens, J selected tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

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
class _Made:
    """Tensors, and what they were made of, each with its version."""

    sources: tuple[tuple[Tensor | None, int], ...]
    tensors: tuple[Tensor, ...]


@dataclass(slots=True)
class TokenState:
    """Mutable, shared by the processors of one U-Net: the masks of the batch under way."""

    selection: TokenSelection | None = None
    record: frozenset[str] = frozenset()  # sites whose maps are kept
    maps: dict[str, Tensor] = field(default_factory=dict[str, Tensor])  # site -> [B, Q, J]
    off: bool = False  # strength 0: no row has a plan; stays when a batch is forgotten
    scale: Tensor | None = None  # what the human term is multiplied by; None: 1; stays too
    _plans: dict[int, RowPlan | None] = field(default_factory=dict[int, Any])
    _made: dict[str, _Made] = field(default_factory=dict[str, Any])
    _tokens: int = 0

    def set(
        self,
        token_mask: Tensor,
        *,
        kinds: Tensor | None = None,
        guided: bool = False,
        record: frozenset[str] = frozenset(),
    ) -> None:
        """Announce a batch.

        Args:
            token_mask: [N, K], bool.
            kinds: [N, K], int64, kept for the selection.
            guided: classifier-free guidance: batches of 2 N rows are N unconditional rows,
                without human tokens, before the N prompts.
            record: sites whose human maps are kept until ``clear``.
        Raises:
            ValueError: the mask is not [N, K], or the kinds do not fit it.
        """
        if token_mask.ndim != 2 or (kinds is not None and kinds.shape != token_mask.shape):
            raise ValueError(
                f"token_mask must be [N, K], got {tuple(token_mask.shape)}; kinds like it, got "
                f"{None if kinds is None else tuple(kinds.shape)}"
            )
        self.clear()
        mask = token_mask.detach().to("cpu", torch.bool)
        self._tokens = mask.shape[1]
        self._plans[len(mask)] = _plan(mask)
        if guided:
            self._plans[2 * len(mask)] = _plan(torch.cat([torch.zeros_like(mask), mask]))
        self.selection = _select(mask, kinds)
        self.record = record

    @property
    def strength(self) -> float:
        """Of the human term, for this batch and all to come.

        It is kept as a tensor: torch.compile takes every tensor of a kind by the same code, and
        would compile again for each number, up to its limit.
        """
        return 0.0 if self.off else 1.0 if self.scale is None else float(self.scale)

    @strength.setter
    def strength(self, value: float) -> None:
        self.off = value == 0
        self.scale = None if value == 1 else torch.tensor(value, dtype=torch.float64)

    def clear(self) -> None:
        """Forget the batch, its maps and what was made of its text."""
        self.selection = None
        self.record = frozenset()
        self.maps = {}
        self._plans = {}
        self._made = {}

    def plan(self, encoder_hidden_states: Tensor) -> RowPlan | None:
        """The plan for a U-Net batch [B, K, C]; None where no row has human tokens to heed.

        Raises:
            ValueError: no mask was announced, or it is not of this batch.
        """
        batch, tokens = encoder_hidden_states.shape[:2]
        if self.selection is None:
            raise ValueError(
                "HcP: which tokens are human is unknown for this batch. Call the pipeline with a "
                "prompt, or wrap the call in `with adapter.token_mask(mask):`"
            )
        if batch not in self._plans or tokens != self._tokens:
            raise ValueError(
                f"HcP: the token mask is for {sorted(self._plans)} rows of {self._tokens} tokens, "
                f"the U-Net got {batch} rows of {tokens}"
            )
        plan = None if self.off else self._plans[batch]
        if plan is not None and plan.token_mask.device != encoder_hidden_states.device:
            plan = self._plans[batch] = plan.to(encoder_hidden_states.device)
        return plan

    def remembered(self, name: str, sources: Sequence[Tensor | None]) -> tuple[Tensor, ...] | None:
        """What an earlier step made of the very same sources, unchanged since, or None."""
        made = self._made.get(name)
        if made is None or len(made.sources) != len(sources):
            return None
        known = zip(made.sources, sources, strict=True)
        same = all(old is new and age == _version(new) for (old, age), new in known)
        return made.tensors if same else None

    def remember(
        self, name: str, sources: Sequence[Tensor | None], tensors: tuple[Tensor, ...]
    ) -> None:
        """Keep tensors for the next steps; never with autograd on, where they would be stale."""
        aged = tuple((source, _version(source)) for source in sources)
        self._made[name] = _Made(sources=aged, tensors=tensors)


def _version(tensor: Tensor | None) -> int:
    return -1 if tensor is None or tensor.is_inference() else tensor._version  # pyright: ignore[reportPrivateUsage] - torch has no public one


def _plan(mask: Tensor) -> RowPlan | None:
    human = mask.any(dim=1)
    if not human.any():
        return None
    index = None if human.all() else human.nonzero().squeeze(1)
    rows = mask if index is None else mask[index]
    selection = _select(rows, None)
    return RowPlan(batch=len(mask), index=index, token_mask=rows, columns=selection.columns)


def _select(mask: Tensor, kinds: Tensor | None) -> TokenSelection:
    width = max(1, int(mask.sum(dim=1).max())) if len(mask) else 1
    order = mask.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :width]
    valid = mask.gather(1, order)
    columns = order.masked_fill(~valid, 0)
    picked = None
    if kinds is not None:
        picked = kinds.detach().to("cpu", torch.int64).gather(1, columns).masked_fill(~valid, 0)
    return TokenSelection(columns=columns, valid=valid, kinds=picked)
