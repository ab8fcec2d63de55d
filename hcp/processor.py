"""The attention processor of an HcP layer: diffusers' default attention plus the human term.

B batch, Q latent pixels, K text tokens, J selected tokens; R rows of B that have human tokens.
"""

from typing import Any

import torch
from diffusers.models.attention_processor import AttnProcessor2_0
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from hcp.attention import human_attention, human_map_columns
from hcp.layer import HcpLayer
from hcp.sites import Site
from hcp.token_state import RowPlan, TokenState


class HcpProcessor:
    """diffusers' default attention with the HcP term added in the rows that have human tokens.

    Where no row has any, the base processor itself runs.
    """

    def __init__(self, site: Site, layer: HcpLayer, *, gamma: float, state: TokenState) -> None:
        self.site = site
        self.layer = layer
        self.gamma = gamma
        self.state = state
        self.base = AttnProcessor2_0()

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        plan = None
        if encoder_hidden_states is not None:
            plan = self.state.plan(encoder_hidden_states)
        if plan is None or encoder_hidden_states is None:
            return self.base(attn, hidden_states, encoder_hidden_states, attention_mask, temb)
        residual = hidden_states
        if attn.spatial_norm is not None:
            hidden_states = attn.spatial_norm(hidden_states, temb)
        image_shape = hidden_states.shape if hidden_states.ndim == 4 else None
        if image_shape is not None:
            hidden_states = hidden_states.flatten(2).transpose(1, 2)
        hidden_states = self._attend(
            attn, hidden_states, encoder_hidden_states, attention_mask, plan
        )
        hidden_states = attn.to_out[1](attn.to_out[0](hidden_states))
        if image_shape is not None:
            hidden_states = hidden_states.transpose(-1, -2).reshape(image_shape)
        if attn.residual_connection:
            hidden_states = hidden_states + residual
        return hidden_states / attn.rescale_output_factor

    def _attend(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: Tensor | None,
        plan: RowPlan,
    ) -> Tensor:
        batch, tokens, _ = encoder_hidden_states.shape
        if attention_mask is not None:
            mask: Tensor = attn.prepare_attention_mask(attention_mask, tokens, batch)
            attention_mask = mask.view(batch, attn.heads, -1, mask.shape[-1])
        if attn.group_norm is not None:
            hidden_states = attn.group_norm(hidden_states.transpose(1, 2)).transpose(1, 2)
        text = encoder_hidden_states
        if attn.norm_cross:
            text = attn.norm_encoder_hidden_states(text)
        query = _norm(attn.norm_q, _heads(attn.to_q(hidden_states), attn.heads))
        key = _norm(attn.norm_k, _heads(attn.to_k(text), attn.heads))
        value = _heads(attn.to_v(text), attn.heads)
        out = scaled_dot_product_attention(query, key, value, attn_mask=attention_mask)
        # From here on the fused form of hcp.attention, only in the rows that need it.
        query_h = plan.take(query)
        key_h = _norm(attn.norm_k, _heads(self._keys(encoder_hidden_states, plan), attn.heads))
        key_h = key_h.to(query.dtype)
        update = human_attention(
            query_h,
            key_h,
            plan.take(value),
            plan.token_mask,
            attention_mask=None if attention_mask is None else plan.take(attention_mask),
        )
        out = plan.add(out, self.layer.strength(self.gamma) * update)
        if self.site.name in self.state.record:
            self.state.maps[self.site.name] = _record(query_h, key_h, plan)
        return out.transpose(1, 2).flatten(2).to(query.dtype)

    def _keys(self, encoder_hidden_states: Tensor, plan: RowPlan) -> Tensor:
        cached = self.state.cached_keys(self.site.name, encoder_hidden_states)
        if cached is not None and not torch.is_grad_enabled():
            return cached
        weight = next(self.layer.parameters())
        if weight.device != encoder_hidden_states.device:  # the base was moved or offloaded
            self.layer.to(encoder_hidden_states.device)
        key_h = self.layer(plan.take(encoder_hidden_states).to(weight.dtype))
        if not torch.is_grad_enabled():
            self.state.keep_keys(self.site.name, encoder_hidden_states, key_h)
        return key_h


def _heads(tensor: Tensor, heads: int) -> Tensor:
    batch, length, inner = tensor.shape
    return tensor.view(batch, length, heads, inner // heads).transpose(1, 2)


def _norm(norm: Any, tensor: Tensor) -> Tensor:
    return tensor if norm is None else norm(tensor)


def _record(query: Tensor, key_h: Tensor, plan: RowPlan) -> Tensor:
    # In float32 whatever the model runs in: gradients of small float16 maps overflow.
    wide = torch.float64 if query.dtype == torch.float64 else torch.float32
    with torch.autocast(query.device.type, enabled=False):
        columns = human_map_columns(query.to(wide), key_h.to(wide), plan.columns)
    if plan.index is None:
        return columns
    empty = columns.new_zeros(plan.batch, *columns.shape[1:])
    return plan.add(empty, columns)
