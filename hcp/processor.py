"""The attention processor of an HcP layer: diffusers' own attention plus the human term.

B batch, Q latent pixels, K text tokens, J selected tokens; R rows of B that have human tokens.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from diffusers.models.attention_processor import (
    AttnProcessor,
    AttnProcessor2_0,
    SlicedAttnProcessor,
    XFormersAttnProcessor,
)
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from hcp.attention import human_attention, map_columns, normed, split_heads, wide_attention
from hcp.attention_grad import attention_in_training
from hcp.layer import HcpLayer
from hcp.sites import Site
from hcp.token_state import RowPlan, TokenState

BASE_PROCESSORS = (AttnProcessor2_0, AttnProcessor, SlicedAttnProcessor, XFormersAttnProcessor)
"""Processors that compute plain cross-attention, each in its way."""


class HcpProcessor:
    """The base's attention with the HcP term added in the rows that have human tokens.

    Where no row has any, the base's processor itself runs. Beside diffusers' default one the two
    share their projections; beside the others the human term is projected on its own and added to
    their output, which equals the sum before the linear output projection.
    """

    def __init__(
        self, site: Site, layer: HcpLayer, *, gamma: float, state: TokenState, base: Any = None
    ) -> None:
        self.site = site
        self.layer = layer
        self.gamma = gamma
        self.state = state
        self.base: Any = AttnProcessor2_0() if base is None else base
        self._weights = list(layer.parameters())

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        text = encoder_hidden_states
        plan = None if text is None else self.state.plan(text)
        if text is None or plan is None:
            return self._run_base(attn, hidden_states, text, attention_mask, temb)
        mask = _mask_of_heads(attn, attention_mask, text)
        if type(self.base) is AttnProcessor2_0:
            pixels = _pixels(attn, hidden_states, temb)
            return self._fused(attn, hidden_states, pixels, text, mask, plan)
        out = self._run_base(attn, hidden_states, text, attention_mask, temb)
        return self._beside(attn, out, _pixels(attn, hidden_states, temb), text, mask, plan)

    def _run_base(
        self,
        attn: Any,
        hidden_states: Tensor,
        text: Tensor | None,
        attention_mask: Tensor | None,
        temb: Tensor | None,
    ) -> Tensor:
        optional = () if temb is None else (temb,)  # sliced attention does not take it
        return self.base(attn, hidden_states, text, attention_mask, *optional)

    def _fused(
        self,
        attn: Any,
        hidden_states: Tensor,
        pixels: Tensor,
        text: Tensor,
        mask: Tensor | None,
        plan: RowPlan,
    ) -> Tensor:
        # The fused form of hcp.attention, with the human term only in the rows that need it.
        query = normed(attn.norm_q, split_heads(attn.to_q(pixels), attn.heads))
        keys, key, value = self._frozen_tokens(attn, text)
        key_h, more = self._human_tokens(attn, text, plan, lambda: plan.take(keys))
        values = plan.take(value)
        key_h = key_h.to(query.dtype)
        if mask is None and torch.is_grad_enabled():
            out, human, columns = attention_in_training(
                query, key, value, key_h, plan, value_h=_plus(values, more)
            )
            if self.site.name in self.state.record:
                self.state.maps[self.site.name] = plan.spread(columns)
            out = plan.add(out, self._weight() * human)
        else:
            out = scaled_dot_product_attention(query, key, value, attn_mask=mask)
            rows, rows_mask = plan.take(query), None if mask is None else plan.take(mask)
            update = self._human(rows, key_h, _plus(values, more), rows_mask, plan)
            if update.dtype == out.dtype:
                out = plan.add(out, update)
            else:  # half precision is rounded to once, in the sum, and only in the plan's rows
                keys = plan.take(key)
                update = update + wide_attention(rows, keys, values, attention_mask=rows_mask)
                out = plan.put(out, update)
        out = attn.to_out[1](attn.to_out[0](out.transpose(1, 2).flatten(2).to(query.dtype)))
        out = _as_image(out, hidden_states)
        if attn.residual_connection:
            out = out + hidden_states
        return out if attn.rescale_output_factor == 1 else out / attn.rescale_output_factor

    def _beside(
        self,
        attn: Any,
        out: Tensor,
        pixels: Tensor,
        text: Tensor,
        mask: Tensor | None,
        plan: RowPlan,
    ) -> Tensor:
        rows = plan.take(text)
        frozen_text = attn.norm_encoder_hidden_states(rows) if attn.norm_cross else rows
        query = normed(attn.norm_q, split_heads(attn.to_q(plan.take(pixels)), attn.heads))
        value = split_heads(attn.to_v(frozen_text), attn.heads)
        # to_k's own forward: this is no call of the base's, and those who watch it must not see it
        key_h, more = self._human_tokens(attn, text, plan, lambda: attn.to_k.forward(frozen_text))
        rows_mask = None if mask is None else plan.take(mask)
        key_h = key_h.to(query.dtype)
        update = self._human(query, key_h, _plus(value, more), rows_mask, plan)
        update = update.transpose(1, 2).flatten(2).to(query.dtype)
        project = attn.to_out[0]
        update = project(update) - project(torch.zeros_like(update[:1, :1]))  # bias: in `out`
        update = _as_image(attn.to_out[1](update), out)
        return plan.add(out, update / attn.rescale_output_factor)

    def _human(
        self, query: Tensor, key_h: Tensor, value: Tensor, mask: Tensor | None, plan: RowPlan
    ) -> Tensor:
        # gamma g (M_h o m) V_h in map_dtype; tensors are the plan's rows, the mask's [R, H, ., K].
        if self.site.name in self.state.record:
            self.state.maps[self.site.name] = plan.spread(map_columns(query, key_h, plan.columns))
        update = human_attention(query, key_h, value, plan.token_mask, attention_mask=mask)
        return self._weight() * update

    def _weight(self) -> float | Tensor:
        weight, scale = self.layer.strength(self.gamma), self.state.scale
        return weight if scale is None else weight * scale

    def _frozen_tokens(self, attn: Any, text: Tensor) -> tuple[Tensor, ...]:
        # W_k C [B, K, H d], K and V [B, H, K, d]. The text of a prompt stays the same over its
        # denoising steps: made once, which saves more than the human term costs.
        def make() -> tuple[Tensor, ...]:
            frozen_text = attn.norm_encoder_hidden_states(text) if attn.norm_cross else text
            keys = attn.to_k(frozen_text)
            key = normed(attn.norm_k, split_heads(keys, attn.heads))
            return keys, key, split_heads(attn.to_v(frozen_text), attn.heads)

        if not (_is_linear(attn.to_k) and _is_linear(attn.to_v)):
            return make()
        weights = [attn.to_k.weight, attn.to_k.bias, attn.to_v.weight, attn.to_v.bias]
        return self._made_once("frozen", [text, *weights], make)

    def _human_tokens(
        self, attn: Any, text: Tensor, plan: RowPlan, frozen_keys: Callable[[], Tensor]
    ) -> tuple[Tensor, Tensor | None]:
        # K_h, and what is added to V in the human term; [R, H, K, d] each.
        weights = self._weights

        def make() -> tuple[Tensor, ...]:
            if weights[0].device != text.device:  # the base was moved or offloaded
                self.layer.to(text.device)
            rows = plan.take(text).to(weights[0].dtype)
            keys = self.layer(rows, frozen_keys() if self.layer.residual else None)
            key_h, values = (
                normed(attn.norm_k, split_heads(keys, attn.heads)),
                self.layer.values(rows),
            )
            return (key_h,) if values is None else (key_h, split_heads(values, attn.heads))

        if self.layer.residual:
            weights = [*weights, *attn.to_k.parameters()]
        key_h, *more = self._made_once("human", [text, *weights], make)
        return key_h, more[0] if more else None

    def _made_once(
        self, what: str, sources: Sequence[Tensor | None], make: Callable[[], tuple[Tensor, ...]]
    ) -> tuple[Tensor, ...]:
        if torch.is_grad_enabled():
            return make()
        name = f"{self.site.name}/{what}"
        found = self.state.remembered(name, sources)
        if found is None:
            found = make()
            self.state.remember(name, sources, found)
        return found


def _plus(values: Tensor, more: Tensor | None) -> Tensor:
    return values if more is None else values + more.to(values.dtype)


def _is_linear(module: Any) -> bool:
    # A plain one that nobody replaced or watches: its output depends on input and weights alone.
    watched = vars(module)["_forward_hooks"] or vars(module)["_forward_pre_hooks"]
    return type(module) is nn.Linear and "forward" not in vars(module) and not watched


def _pixels(attn: Any, hidden_states: Tensor, temb: Tensor | None) -> Tensor:
    # [B, Q, C] of what the base's processor projects to queries.
    if attn.spatial_norm is not None:
        hidden_states = attn.spatial_norm(hidden_states, temb)
    if hidden_states.ndim == 4:
        hidden_states = hidden_states.flatten(2).transpose(1, 2)
    if attn.group_norm is not None:
        hidden_states = attn.group_norm(hidden_states.transpose(1, 2)).transpose(1, 2)
    return hidden_states


def _mask_of_heads(attn: Any, attention_mask: Tensor | None, text: Tensor) -> Tensor | None:
    if attention_mask is None:
        return None
    batch, tokens, _ = text.shape
    mask: Tensor = attn.prepare_attention_mask(attention_mask, tokens, batch)
    return mask.view(batch, attn.heads, -1, mask.shape[-1])


def _as_image(rows: Tensor, like: Tensor) -> Tensor:
    # [R, Q, C] to [R, C, h, w] where the attention works on images.
    return rows if like.ndim == 3 else rows.transpose(-1, -2).reshape(-1, *like.shape[1:])
