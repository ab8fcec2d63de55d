"""Which rows of a U-Net batch belong to which prompt: told by number, or recognised.

Pipelines put rows together in ways of their own: guidance in one batch or in two, perturbed
attention, views of a panorama, an extra call with the negative prompts alone. What a row is shows
in its text embedding, bit by bit, whatever its place and number.

B batch rows of the U-Net, N prompts, K text tokens, C text width; R rows with human tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from hcp.row_plan import RowPlan, plan_rows

_KEPT = 8
"""Sets of prompts known at a time: of one call, and of calls before it that failed half-way."""

_BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


class HumanRows(Protocol):
    """Says of a U-Net batch which tokens of which rows are human."""

    def plan(self, text: Tensor) -> RowPlan | None:
        """The plan for the text embeddings [B, K, C]; None where no row has human tokens.

        Raises:
            ValueError: the batch is not of the prompts that were announced.
        """
        ...

    def mask(self, text: Tensor) -> Tensor:
        """The human tokens of the rows, bool [B, K], on the CPU. Raises as ``plan`` does."""
        ...


class NumberedRows:
    """A batch whose rows are known by their number, as in training."""

    def __init__(self, token_mask: Tensor) -> None:
        self._mask = token_mask  # [B, K] bool, on the CPU
        self._plan = plan_rows(token_mask)

    def plan(self, text: Tensor) -> RowPlan | None:
        """As ``HumanRows``."""
        self.mask(text)
        plan = self._plan
        if plan is not None and plan.token_mask.device != text.device:
            plan = self._plan = plan.to(text.device)
        return plan

    def mask(self, text: Tensor) -> Tensor:
        """As ``HumanRows``."""
        if self._mask.shape != text.shape[:2]:
            rows, tokens = self._mask.shape
            raise ValueError(
                f"HcP: the token mask is for {rows} rows of {tokens} tokens, the U-Net got "
                f"{text.shape[0]} rows of {text.shape[1]}"
            )
        return self._mask


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompts:
    """What one call of a pipeline's ``encode_prompt`` made."""

    embeds: Tensor  # [N, K, C]
    negative: Tensor | None  # [N, K, C], of unconditional and negative prompts
    token_mask: Tensor  # [N, K] bool, human tokens of ``embeds``, on the CPU


class RecognisedRows:
    """The rows of one call of a pipeline, told by their text embeddings."""

    def __init__(self) -> None:
        self._prompts: list[Prompts] = []
        self._last: tuple[Tensor, int, Tensor, RowPlan | None] | None = None

    def add(self, prompts: Prompts) -> None:
        """More prompts of the same call; where rows fit several, the last ones win."""
        self._prompts = [prompts, *self._prompts[: _KEPT - 1]]
        self._last = None

    def plan(self, text: Tensor) -> RowPlan | None:
        """As ``HumanRows``; the last batch is remembered, for it comes once for each layer."""
        return self._seen(text)[1]

    def mask(self, text: Tensor) -> Tensor:
        """As ``HumanRows``."""
        return self._seen(text)[0]

    def _seen(self, text: Tensor) -> tuple[Tensor, RowPlan | None]:
        age = version(text)
        if self._last is None or self._last[0] is not text or self._last[1] != age:
            mask = self._recognise(text)
            plan = plan_rows(mask)
            self._last = (text, age, mask, None if plan is None else plan.to(text.device))
        return self._last[2:]

    def _recognise(self, text: Tensor) -> Tensor:
        batch, tokens = text.shape[:2]
        mask = torch.zeros(batch, tokens, dtype=torch.bool)
        unknown = list(range(batch))
        for prompts in self._prompts:
            if not unknown:
                break
            if prompts.embeds.shape[1:] != text.shape[1:]:
                continue
            found = _match(text, prompts)
            for row in unknown:
                human = found[row]
                if human is not None:
                    mask[row] = human
            unknown = [row for row in unknown if found[row] is None]
        if unknown:
            raise ValueError(self._unknown(text, unknown))
        return mask

    def _unknown(self, text: Tensor, rows: Sequence[int]) -> str:
        known = [
            f"{len(p.embeds)} prompts and {0 if p.negative is None else len(p.negative)} negative "
            f"ones of {p.embeds.shape[1]} tokens"
            for p in self._prompts
        ]
        return (
            f"HcP: row {rows[0]} of the U-Net's {text.shape[0]} rows of {text.shape[1]} tokens has "
            f"text embeddings that no prompt of this call was encoded to (known: "
            f"{'; '.join(known) or 'none'}), so which of its tokens are human is unknown. "
            "Embeddings that are made or changed elsewhere belong into the pipeline's "
            "prompt_embeds, the call inside `with adapter.token_mask(mask):`; adapter.detach() "
            "draws without HcP"
        )


def rows_beside(batch: Tensor, known: Tensor) -> Tensor | None:
    """The rows of a batch [B, K, C] that are none of the known ones [N, K, C].

    Where a known one stands there more often than once, a row may be either: then it is all.
    """
    others = [row for row, found in enumerate(_equal_rows(batch, known)) if found.known is None]
    if len(batch) - len(others) > len(known):
        return batch
    return batch[others] if others else None


def version(tensor: Tensor | None) -> int:
    """How often a tensor was written to, as far as torch tells."""
    return -1 if tensor is None or tensor.is_inference() else tensor._version  # pyright: ignore[reportPrivateUsage] - torch has no public one


def _match(text: Tensor, prompts: Prompts) -> list[Tensor | None]:
    # The token mask [K] of each row, None where it is none of these prompts.
    positive = _equal_rows(text, prompts.embeds)
    negative = [_Found()] * len(text)
    if prompts.negative is not None:
        negative = _equal_rows(text, prompts.negative)
    nobody = torch.zeros(text.shape[1], dtype=torch.bool)
    guided = len(text) == 2 * len(prompts.embeds)
    found: list[Tensor | None] = []
    for row, (prompt, against) in enumerate(zip(positive, negative, strict=True)):
        human = nobody if prompt.known is None else prompts.token_mask[prompt.known]
        if prompt.known is None or against.known is None or not human.any():
            found.append(None if prompt.known is None and against.known is None else human)
        elif prompt.in_place != against.in_place:  # one prompt is the negative of another
            found.append(human if prompt.in_place else nobody)
        elif guided:  # the prompt is its own negative: diffusers' pipelines put negatives first
            found.append(nobody if row < len(prompts.embeds) else human)
        else:
            raise ValueError(
                "HcP: a prompt and a negative prompt of this call have the same text embeddings, "
                f"so that row {row} of the U-Net's {len(text)} rows may be either: give another "
                "negative prompt, or adapter.detach() for this call"
            )
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """A row of a batch among known ones."""

    known: int | None = None  # None: it is none of them
    in_place: bool = False  # it stands where a batch of whole blocks has it


def _equal_rows(text: Tensor, known: Tensor) -> list[_Found]:
    # For each row [K, C] of text the known row [K, C] that it equals bit by bit: the one at its own
    # place in a batch of whole blocks, else the first.
    bits, number = _bits(text), len(known)
    known_bits = _bits(known.to(text.device, text.dtype))
    found = [_Found()] * len(text)
    if len(text) % number == 0:
        same = (bits.unflatten(0, (-1, number)) == known_bits).flatten(2).all(dim=2).flatten()
        for row, yes in enumerate(same.tolist()):
            if yes:
                found[row] = _Found(known=row % number, in_place=True)
    for row, place in enumerate(found):
        if place.known is None:
            same = (known_bits == bits[row]).flatten(1).all(dim=1)
            first = next((i for i, yes in enumerate(same.tolist()) if yes), None)
            found[row] = _Found(known=first)
    return found


def _bits(tensor: Tensor) -> Tensor:
    # As integers: a number that is none equals itself then.
    return tensor.detach().view(_BITS[tensor.element_size()])
