"""Which tokens of the running batch are human: what the pipeline tells the HcP layers.

B batch rows of the U-Net, N prompts, K text tokens, J selected tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from hcp.prompt_rows import HumanRows, NumberedRows, version
from hcp.row_plan import RowPlan, TokenSelection, select_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    """Tensors, and what they were made of, each with its version."""

    sources: tuple[tuple[Tensor | None, int], ...]
    tensors: tuple[Tensor, ...]


@dataclass(slots=True, weakref_slot=True, eq=False)
class TokenState:
    """Mutable, shared by the layers of one adapter in one U-Net: the batch under way."""

    selection: TokenSelection | None = None
    record: frozenset[str] = frozenset()  # sites whose maps are kept
    maps: dict[str, Tensor] = field(default_factory=dict[str, Tensor])  # site -> [B, Q, J]
    given: Tensor | None = None  # [N, K] bool, what the user said of the next calls; stays
    off: bool = False  # strength 0: no row has a plan; stays when a batch is forgotten
    scale: Tensor | None = None  # what the human term is multiplied by; None: 1; stays too
    _rows: HumanRows | None = None
    _made: dict[str, _Made] = field(default_factory=dict[str, Any])

    def set(
        self,
        token_mask: Tensor,
        *,
        kinds: Tensor | None = None,
        record: frozenset[str] = frozenset(),
    ) -> None:
        """Announce a batch whose rows are known by their number.

        Args:
            token_mask: [B, K], bool.
            kinds: [B, K], int64, kept for the selection.
            record: sites whose human maps are kept until ``clear``.
        Raises:
            ValueError: the mask is not [B, K], or the kinds do not fit it.
        """
        if token_mask.ndim != 2 or (kinds is not None and kinds.shape != token_mask.shape):
            raise ValueError(
                f"token_mask must be [N, K], got {tuple(token_mask.shape)}; kinds like it, got "
                f"{None if kinds is None else tuple(kinds.shape)}"
            )
        self.clear()
        mask = token_mask.detach().to("cpu", torch.bool)
        self._rows = NumberedRows(mask)
        self.selection = select_tokens(mask, kinds)
        self.record = record

    def announce(self, rows: HumanRows, token_mask: Tensor) -> None:
        """The rows of the batches to come, and the mask [N, K] of the prompts among them."""
        self.clear()
        self._rows = rows
        self.selection = select_tokens(token_mask)

    @property
    def strength(self) -> float:
        """Of the human term, for this batch and all to come."""
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
        self._rows = None
        self._made = {}

    def plan(self, encoder_hidden_states: Tensor) -> RowPlan | None:
        """The plan for a U-Net batch [B, K, C]; None where no row has human tokens to heed.

        Raises:
            ValueError: no prompts were announced, or the batch is not of them.
        """
        plan = self._announced().plan(encoder_hidden_states)
        return None if self.off else plan

    def dense(self, encoder_hidden_states: Tensor) -> tuple[Tensor, Tensor]:
        """Human tokens to heed, bool [B, K] on the CPU, and the strength; raises as ``plan``."""
        mask = self._announced().mask(encoder_hidden_states)
        mask = torch.zeros_like(mask) if self.off else mask
        return mask, torch.tensor(self.strength, dtype=torch.float32)

    def _announced(self) -> HumanRows:
        if self._rows is None:
            raise ValueError(
                "HcP: which tokens are human is unknown for this batch: the U-Net was called from "
                "a pipeline that the adapter is not attached to, or from none. Call "
                "adapter.attach(that_pipeline) as well, give the pipeline a prompt, or wrap the "
                "call in `with adapter.token_mask(mask):`; adapter.detach() draws without HcP"
            )
        return self._rows

    def remembered(self, name: str, sources: Sequence[Tensor | None]) -> tuple[Tensor, ...] | None:
        """What an earlier step made of the very same sources, unchanged since, or None."""
        made = self._made.get(name)
        if made is None or len(made.sources) != len(sources):
            return None
        known = zip(made.sources, sources, strict=True)
        same = all(old is new and age == version(new) for (old, age), new in known)
        return made.tensors if same else None

    def remember(
        self, name: str, sources: Sequence[Tensor | None], tensors: tuple[Tensor, ...]
    ) -> None:
        """Keep tensors for the next steps; never with autograd on, where they would be stale."""
        aged = tuple((source, version(source)) for source in sources)
        self._made[name] = _Made(sources=aged, tensors=tensors)
