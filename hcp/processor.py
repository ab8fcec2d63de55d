"""The attention processor of an HcP layer: diffusers' own attention plus the human terms.

B batch, Q latent pixels, K text tokens, J selected tokens; R rows of B that have human tokens.
"""

from collections.abc import Iterable, Sequence
from typing import Any, cast

import torch
from diffusers.models.attention_processor import (
    AttnProcessor,
    AttnProcessor2_0,
    FusedAttnProcessor2_0,
    SlicedAttnProcessor,
    XFormersAttnProcessor,
)
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from hcp.attention import normed, split_heads, wide_attention
from hcp.attention_grad import attention_in_training
from hcp.human_term import HumanTerm, Plan, Projected, made_once
from hcp.row_plan import DensePlan, RowPlan

BASE_PROCESSORS = (
    AttnProcessor2_0,
    AttnProcessor,
    SlicedAttnProcessor,
    XFormersAttnProcessor,
    FusedAttnProcessor2_0,
)
"""Processors that compute plain cross-attention, each in its way."""

Active = list[tuple[Plan, list[HumanTerm]]]
"""The terms that have rows to work on, those of one plan together."""


class HcpProcessor:
    """The base's attention with human terms added in the rows that have human tokens.

    Where no row has any, the base's processor itself runs. Beside diffusers' default one the two
    share their projections; beside the others the human terms are projected on their own and added
    to their output, which equals the sum before the linear output projection. So they are beside a
    processor that stays in its place, as IP-Adapter's: there ``after`` is a hook of the attention.
    """

    def __init__(self, *terms: HumanTerm, base: Any = None) -> None:
        self.terms = terms
        self.base: Any = AttnProcessor2_0() if base is None else base

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        text = encoder_hidden_states
        active = [] if text is None else self._active(text)
        if text is None or not active:
            return self._run_base(attn, hidden_states, text, attention_mask, temb)
        mask = _mask_of_heads(attn, attention_mask, text)
        if type(self.base) is AttnProcessor2_0:
            pixels = _pixels(attn, hidden_states, temb)
            return self._fused(attn, hidden_states, pixels, text, mask, active)
        out = self._run_base(attn, hidden_states, text, attention_mask, temb)
        return _beside(attn, out, _pixels(attn, hidden_states, temb), text, mask, active)

    def after(
        self, attn: Any, args: tuple[Tensor, ...], kwargs: dict[str, Any], out: Tensor
    ) -> Tensor:
        """A forward hook of the attention ``attn``: its output with the human terms."""
        if isinstance(attn.processor, HcpProcessor):  # which adds them itself
            return out
        given = dict(zip(("hidden_states", "encoder_hidden_states"), args, strict=False)) | kwargs
        text = given["encoder_hidden_states"]
        text = text[0] if isinstance(text, tuple) else text  # beside IP-Adapter's pictures
        active = self._active(cast(Tensor, text))
        if not active:
            return out
        mask = _mask_of_heads(attn, given.get("attention_mask"), text)
        pixels = _pixels(attn, given["hidden_states"], given.get("temb"))
        return _beside(attn, out, pixels, text, mask, active)

    def _active(self, text: Tensor) -> Active:
        found: Active = []
        for term in self.terms:
            plan = term.plan(text)
            if plan is not None and found and found[-1][0] is plan:
                found[-1][1].append(term)
            elif plan is not None:
                found.append((plan, [term]))
        return found

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
        active: Active,
    ) -> Tensor:
        # The fused form of hcp.attention, with the human terms only in the rows that need them.
        query = normed(attn.norm_q, split_heads(attn.to_q(pixels), attn.heads))
        tokens = self._frozen_tokens(attn, text, active)
        if mask is None and torch.is_grad_enabled() and _alone(active):
            out = _in_training(attn, pixels, text, query, tokens, active)
        else:
            out = _in_drawing(attn, pixels, text, query, tokens, mask, active)
        out = attn.to_out[1](attn.to_out[0](out.transpose(1, 2).flatten(2).to(query.dtype)))
        out = _as_image(out, hidden_states)
        if attn.residual_connection:
            out = out + hidden_states
        return out if attn.rescale_output_factor == 1 else out / attn.rescale_output_factor

    def _frozen_tokens(self, attn: Any, text: Tensor, active: Active) -> tuple[Tensor, ...]:
        # W_k C [B, K, H d], K and V [B, H, K, d]. The text of a prompt stays the same over its
        # denoising steps: made once, which saves more than the human term costs.
        def make() -> tuple[Tensor, ...]:
            frozen_text = attn.norm_encoder_hidden_states(text) if attn.norm_cross else text
            keys = attn.to_k(frozen_text)
            key = normed(attn.norm_k, split_heads(keys, attn.heads))
            return keys, key, split_heads(attn.to_v(frozen_text), attn.heads)

        plan, terms = active[0]
        if isinstance(plan, DensePlan) or not (_is_linear(attn.to_k) and _is_linear(attn.to_v)):
            return make()
        weights = [attn.to_k.weight, attn.to_k.bias, attn.to_v.weight, attn.to_v.bias]
        name = f"{terms[0].site.name}/frozen"
        return made_once(terms[0].state, name, [text, *weights], make)


def _alone(active: Active) -> bool:
    plan, terms = active[0]
    return len(active) == 1 and len(terms) == 1 and isinstance(plan, RowPlan)


def _in_training(
    attn: Any,
    pixels: Tensor,
    text: Tensor,
    query: Tensor,
    tokens: Sequence[Tensor],
    active: Active,
) -> Tensor:
    keys, key, value = tokens
    plan, (term,) = cast(tuple[RowPlan, list[HumanTerm]], active[0])
    key_h, more = term.tokens(attn, text, plan, lambda: plan.take(keys))
    key_h, values = key_h.to(query.dtype), plan.take(value)
    out, human, columns = attention_in_training(
        query, key, value, key_h, plan, value_h=term.value(values, more)
    )
    term.keep(plan, columns)
    if term.layer.chi is not None:
        projected = Projected(
            query=plan.take(query), pixels=lambda: plan.take(pixels), value=values, mask=None,
            keys=lambda: plan.take(keys),
        )  # fmt: skip
        human = term.of_pixels(human, key_h, plan, projected)
    return plan.add(out, term.weight(plan) * human)


def _in_drawing(
    attn: Any,
    pixels: Tensor,
    text: Tensor,
    query: Tensor,
    tokens: Sequence[Tensor],
    mask: Tensor | None,
    active: Active,
) -> Tensor:
    keys, key, value = tokens
    out = scaled_dot_product_attention(query, key, value, attn_mask=mask)
    for place, (plan, terms) in enumerate(active):
        rows_mask = None if mask is None else plan.take(mask)
        projected = Projected(
            query=plan.take(query), value=plan.take(value), mask=rows_mask,
            keys=lambda plan=plan: plan.take(keys), pixels=lambda plan=plan: plan.take(pixels),
        )  # fmt: skip
        update = _sum(term.update(attn, text, plan, projected) for term in terms)
        if update.dtype == out.dtype or place:
            out = plan.add(out, update)
        else:  # half precision is rounded to once, in the sum, and only in the plan's rows
            base = wide_attention(
                projected.query, plan.take(key), projected.value, attention_mask=rows_mask
            )
            out = plan.put(out, update + base)
    return out


def _beside(
    attn: Any, out: Tensor, pixels: Tensor, text: Tensor, mask: Tensor | None, active: Active
) -> Tensor:
    for plan, terms in active:
        rows = plan.take(text)
        frozen_text = attn.norm_encoder_hidden_states(rows) if attn.norm_cross else rows
        own = plan.take(pixels)
        query = normed(attn.norm_q, split_heads(attn.to_q(own), attn.heads))
        projected = Projected(
            query=query,
            pixels=lambda own=own: own,
            value=split_heads(attn.to_v(frozen_text), attn.heads),
            mask=None if mask is None else plan.take(mask),
            # to_k's own forward: this is no call of the base's, and those who watch it must not
            # see it
            keys=lambda text=frozen_text: attn.to_k.forward(text),
        )
        update = _sum(term.update(attn, text, plan, projected) for term in terms)
        update = update.transpose(1, 2).flatten(2).to(query.dtype)
        project = attn.to_out[0]
        update = project(update) - project(torch.zeros_like(update[:1, :1]))  # bias: in `out`
        update = _as_image(attn.to_out[1](update), out)
        out = plan.add(out, update / attn.rescale_output_factor)
    return out


def _sum(updates: Iterable[Tensor]) -> Tensor:
    total, *more = updates
    for update in more:
        total = total + update
    return total


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
