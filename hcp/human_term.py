"""The human term of one adapter at one cross-attention: gamma g (M_h o m) V_h.

Inside ``torch.compile`` which rows are human is asked by an operator that the compiler cannot look
into, when the graph runs; what comes out has the same shapes for all prompts. So nothing that a
prompt or a strength changes is part of the graph, and nothing of it is guarded.

B batch, H heads, Q latent pixels, K text tokens, d head width; R rows of B with human tokens.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from hcp.attention import human_attention, map_columns, normed, split_heads
from hcp.layer import HcpLayer
from hcp.row_plan import DensePlan, RowPlan
from hcp.sites import Site
from hcp.token_state import TokenState

Plan = RowPlan | DensePlan
_STATES: WeakValueDictionary[int, TokenState] = WeakValueDictionary()
_numbers = count()


@dataclass(frozen=True, slots=True, kw_only=True)
class Projected:
    """What the base's attention made of a plan's rows."""

    query: Tensor  # [R, H, Q, d]
    pixels: Callable[[], Tensor]  # X that the queries are made of, [R, Q, H d]
    value: Tensor  # [R, H, K, d]
    mask: Tensor | None  # [R, H, ., K], of the attention
    keys: Callable[[], Tensor]  # W_k C of those rows, [R, K, H d]


class HumanTerm:
    """One HcP layer where it stands, with the state that says which tokens are human."""

    def __init__(self, site: Site, layer: HcpLayer, *, gamma: float, state: TokenState) -> None:
        self.site = site
        self.layer = layer
        self.gamma = gamma
        self.state = state
        self._number = _numbered(state)
        self._weights = list(layer.parameters())

    def plan(self, text: Tensor) -> Plan | None:
        """The rows to work on, for text embeddings [B, K, C]; None: none of them.

        Raises:
            ValueError: as ``TokenState.plan``.
        """
        if torch.compiler.is_compiling() and not (torch.is_grad_enabled() or self.state.record):
            return _dense_plan(text, self._number)
        return self.state.plan(text)

    def update(self, attn: Any, text: Tensor, plan: Plan, projected: Projected) -> Tensor:
        """The term in the plan's rows, [R, H, Q, d], in ``hcp.attention.map_dtype``."""
        query, value = projected.query, projected.value
        key_h, more = self.tokens(attn, text, plan, projected.keys)
        key_h = key_h.to(query.dtype)
        if isinstance(plan, RowPlan) and self.site.name in self.state.record:
            self.keep(plan, map_columns(query, key_h, plan.columns))
        value = self.value(value, more)
        update = human_attention(
            query, key_h, value, plan.token_mask, attention_mask=projected.mask
        )
        return self.weight(plan) * self.of_pixels(update, key_h, plan, projected)

    def value(self, value: Tensor, more: Tensor | None) -> Tensor:
        """What V_h is in every pixel: V, V + psi(C) or psi(C)."""
        if more is None:
            return value
        more = more.to(value.dtype)
        return value + more if self.layer.keeps_value else more

    def of_pixels(self, update: Tensor, key_h: Tensor, plan: Plan, projected: Projected) -> Tensor:
        """``(M_h o m) V_h`` with the part of V_h that depends on the pixel, chi(X).

        It is the same for all tokens: it comes out of the sum over them, times the attention that
        human words get in this pixel.
        """
        if self.layer.chi is None:
            return update
        own = self.layer.chi(projected.pixels().to(self._weights[0].dtype))
        share = human_attention(
            projected.query, key_h, torch.ones_like(key_h), plan.token_mask,
            attention_mask=projected.mask,
        )  # fmt: skip
        return update + share[..., :1] * split_heads(own, update.shape[1]).to(update.dtype)

    def keep(self, plan: RowPlan, columns: Tensor) -> None:
        """Keep the columns [R, Q, J] of M_h where somebody asked for this site's."""
        if self.site.name in self.state.record:
            self.state.maps[self.site.name] = plan.spread(columns)

    def weight(self, plan: Plan) -> float | Tensor:
        """gamma g, times the strength."""
        weight = self.layer.strength(self.gamma)
        scale = plan.scale if isinstance(plan, DensePlan) else self.state.scale
        return weight if scale is None else weight * scale

    def tokens(
        self, attn: Any, text: Tensor, plan: Plan, frozen_keys: Callable[[], Tensor]
    ) -> tuple[Tensor, Tensor | None]:
        """K_h, and what is added to V in the human term; [R, H, K, d] each."""
        weights = self._weights

        def make() -> tuple[Tensor, ...]:
            rows = plan.take(text).to(weights[0].dtype)
            keys = self.layer(rows, frozen_keys() if self.layer.residual else None)
            key_h = normed(attn.norm_k, split_heads(keys, attn.heads))
            values = self.layer.values(rows)
            return (key_h,) if values is None else (key_h, split_heads(values, attn.heads))

        if torch.compiler.is_compiling() and isinstance(plan, DensePlan):
            key_h, *more = make()
        else:
            if weights[0].device != text.device:  # the base was moved or offloaded
                self.layer.to(text.device)
            if self.layer.residual:
                weights = [*weights, *attn.to_k.parameters()]
            name = f"{self.site.name}/human"
            key_h, *more = made_once(self.state, name, [text, *weights], make)
        return key_h, more[0] if more else None


def made_once(
    state: TokenState,
    name: str,
    sources: Sequence[Tensor | None],
    make: Callable[[], tuple[Tensor, ...]],
) -> tuple[Tensor, ...]:
    """What is made of the sources, from an earlier step where they have not changed since."""
    if torch.is_grad_enabled():
        return make()
    found = state.remembered(name, sources)
    if found is None:
        found = make()
        state.remember(name, sources, found)
    return found


def _numbered(state: TokenState) -> int:
    """The number by which graphs know a state, for as long as it lives."""
    number = next(_numbers)
    _STATES[number] = state
    return number


def _dense_plan(text: Tensor, number: int) -> DensePlan:
    """The plan for a U-Net batch of text embeddings [B, K, C], by the state of that number.

    Raises:
        ValueError: when the graph runs, as ``TokenState.plan``.
    """
    token_mask, scale = _human_tokens(text, number)
    return DensePlan(token_mask=token_mask, scale=scale)


def _look_up(text: Tensor, number: int) -> tuple[Tensor, Tensor]:
    mask, scale = _STATES[number].dense(text)
    # Copies: the compiler may write into what an operator returns.
    return mask.to(text.device, copy=True), scale.to(text.device)


def _shapes(text: Tensor, number: int) -> tuple[Tensor, Tensor]:
    del number
    mask = text.new_empty(text.shape[:2], dtype=torch.bool)
    return mask, text.new_empty((), dtype=torch.float32)


_unsafe = getattr(torch.Tag, "cudagraph_unsafe", None)  # it waits for the device; torch 2.9 on
_tags: dict[str, Any] = {} if _unsafe is None else {"tags": [_unsafe]}
_human_tokens: Any = torch.library.custom_op(
    "hcp::human_tokens",
    _look_up,
    mutates_args=(),
    schema="(Tensor text, int number) -> (Tensor, Tensor)",
    **_tags,
)
_human_tokens.register_fake(_shapes)
