"""A frozen U-Net's backward pass, with no more time and memory than gradients of inputs take.

Autograd keeps what the gradients of weights would need, and all that lies between. Here the blocks
that gradients pass through keep only their inputs, and redo the pointwise parts. The same forward
pass to a rounding, the same gradients; not from the paper. N batch, C channels, h w height and
width.

Each trick brings 3 % of a step's time or memory or more; ``benchmarks/bench_adapter.py`` measures
a step without each. Leaving out the gradients of the skip connections from a frozen down path
brought 1 %, and went.
"""

from collections.abc import Callable, Collection
from typing import Any, Literal, get_args

import torch
from diffusers.models.attention import FeedForward
from diffusers.models.attention_processor import Attention
from diffusers.models.resnet import ResnetBlock2D
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import conv2d, group_norm, silu
from torch.nn.grad import conv2d_input

from hcp.sites import plain
from hcp.training.frozen_attention import lean_feed_forward, lean_self_attention

aten: Any = torch.ops.aten  # what torch's own derivatives are made of

Trick = Literal["convolutions", "resnets", "feed_forward", "self_attention"]
TRICKS: tuple[Trick, ...] = get_args(Trick)
"""What ``LeanBackward`` makes lean."""


class LeanBackward:
    """Lean forms of a frozen U-Net's middle and up blocks, until ``remove``.

    Gradients reach whatever trains before or inside of them; blocks with weights that train are
    left as they are.
    """

    def __init__(self, unet: nn.Module, *, tricks: Collection[Trick] = TRICKS) -> None:
        """Change the blocks that are frozen and of the plain kind; the others stay as they are.

        Args:
            unet: a diffusers U-Net.
            tricks: which to use; all but in measurements.
        """
        self._changed: list[nn.Module] = []
        whole: Any = plain(unet)
        for part in (whole.mid_block, whole.up_blocks, whole.conv_out):
            for module in () if part is None else part.modules():
                lean = _lean_form(module, tricks)
                if lean is not None and _is_frozen(module) and not _is_hooked(module):
                    self._replace(module, lean)

    def remove(self) -> None:
        """Give the blocks their own forward passes back."""
        for module in self._changed:
            del module.__dict__["forward"]
        self._changed.clear()

    def _replace(self, module: nn.Module, lean: Callable[..., Tensor]) -> None:
        own = module.forward

        def forward(*args: Any, **kwargs: Any) -> Any:
            return (lean if torch.is_grad_enabled() else own)(*args, **kwargs)

        module.forward = forward
        self._changed.append(module)


def _lean_form(module: Any, tricks: Collection[Trick]) -> Callable[..., Tensor] | None:
    if type(module) is nn.Conv2d and "convolutions" in tricks:
        plain_conv = module.padding_mode == "zeros" and module.groups == 1
        return (lambda x: _conv(x, module)) if plain_conv else None
    if type(module) is ResnetBlock2D and "resnets" in tricks and _is_plain(module):
        return lambda x, temb: _resnet(module, x, temb)
    if type(module) is FeedForward and "feed_forward" in tricks:
        return lean_feed_forward(module)
    if type(module) is Attention and "self_attention" in tricks:
        return lean_self_attention(module)
    return None


def _is_frozen(module: nn.Module) -> bool:
    return not any(parameter.requires_grad for parameter in module.parameters())


def _is_hooked(module: nn.Module) -> bool:
    # Others, as accelerate, replace forward passes too, or watch them; what is inside counts.
    return any(
        "forward" in vars(part) or vars(part)["_forward_hooks"] or vars(part)["_forward_pre_hooks"]
        for part in module.modules()
    )


def _is_plain(block: Any) -> bool:
    # As all Stable Diffusion U-Nets have them, without LoRA in its convolutions.
    convs = (block.conv1, block.conv2, block.conv_shortcut)
    return (
        all(conv is None or type(conv) is nn.Conv2d for conv in convs)
        and block.upsample is None
        and block.downsample is None
        and block.time_embedding_norm == "default"
        and isinstance(block.nonlinearity, nn.SiLU)
        and not block.skip_time_act
        and block.time_emb_proj is not None
        and not (block.training and block.dropout.p)
    )


def _resnet(block: Any, x: Tensor, temb: Tensor) -> Tensor:
    # ResnetBlock2D.forward
    hidden = _norm_silu_conv(x, block.norm1, block.conv1)
    hidden = hidden + block.time_emb_proj(silu(temb))[:, :, None, None]
    hidden = _norm_silu_conv(hidden, block.norm2, block.conv2)
    if block.conv_shortcut is not None:
        x = _conv(x, block.conv_shortcut)
    out = x + hidden
    return out if block.output_scale_factor == 1 else out / block.output_scale_factor


class _Conv(torch.autograd.Function):
    """A convolution that keeps nothing."""

    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride] - torch types it as *args
        ctx: Any, x: Tensor, conv: nn.Conv2d
    ) -> Tensor:
        ctx.conv, ctx.shape, ctx.dtype = conv, x.shape, x.dtype
        return conv2d(x, conv.weight, conv.bias, conv.stride, conv.padding, conv.dilation)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, grad: Tensor
    ) -> tuple[Tensor, None]:
        return _conv_grad(ctx.conv, grad, ctx.shape).to(ctx.dtype), None


class _NormSiluConv(torch.autograd.Function):
    """Group norm, SiLU, convolution, of which only the input is kept."""

    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride] - torch types it as *args
        ctx: Any, x: Tensor, norm: nn.GroupNorm, conv: nn.Conv2d
    ) -> Tensor:
        ctx.save_for_backward(x)
        ctx.norm, ctx.conv = norm, conv
        hidden = silu(group_norm(x, norm.num_groups, norm.weight, norm.bias, norm.eps))
        return conv2d(hidden, conv.weight, conv.bias, conv.stride, conv.padding)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, grad: Tensor
    ) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors
        norm: nn.GroupNorm = ctx.norm
        through = _conv_grad(ctx.conv, grad, x.shape)
        wide = x.contiguous().to(norm.weight.dtype)
        size = (*wide.shape[:2], wide[0, 0].numel(), norm.num_groups)
        hidden, *moments = aten.native_group_norm(wide, norm.weight, norm.bias, *size, norm.eps)
        through = aten.silu_backward(through.to(hidden.dtype), hidden)
        only_input = [True, False, False]
        found, _, _ = aten.native_group_norm_backward(
            through, wide, *moments, norm.weight, *size, only_input
        )
        return found.to(x.dtype), None, None


_conv: Any = _Conv.apply  # typed as any object's function
_norm_silu_conv: Any = _NormSiluConv.apply


def _conv_grad(conv: nn.Conv2d, grad: Tensor, shape: torch.Size) -> Tensor:
    # The gradient of the input, [N, C, h, w].
    weight = conv.weight.to(grad.dtype)
    if conv.kernel_size == (1, 1) == conv.stride and conv.padding == (0, 0):
        return (weight.flatten(1).mT @ grad.flatten(2)).unflatten(2, tuple(shape[2:]))
    how: Any = (conv.stride, conv.padding, conv.dilation)
    return conv2d_input(list(shape), weight, grad, *how)
