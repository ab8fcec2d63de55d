"""A frozen U-Net's backward pass, with no more time and memory than gradients of inputs take.

Autograd keeps for a convolution what the gradient of its weights would need, and differentiates
the skip connections from a down path that nothing trainable comes before. Here the blocks that
gradients pass through keep only their inputs, redo the pointwise parts, and leave skips out.
Same forward pass, same gradients; not from the paper. N batch, C channels, h w height and width.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from diffusers.models.activations import GEGLU
from diffusers.models.resnet import ResnetBlock2D
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import conv2d, group_norm, pad, silu
from torch.nn.grad import conv2d_input

from hcp.sites import Site, plain

aten: Any = torch.ops.aten  # what torch's own derivatives are made of


class LeanBackward:
    """Lean forms of a frozen U-Net's middle and up blocks, until ``remove``.

    For training the layers of ``sites`` alone: where gradients are wanted for the U-Net's own
    inputs, use the blocks as they are.
    """

    def __init__(self, unet: nn.Module, sites: Sequence[Site]) -> None:
        """Change the blocks that are frozen and of the plain kind; the others stay as they are.

        Args:
            unet: a diffusers U-Net.
            sites: where its trainable layers are. With one in the down path, or with weights of
                the U-Net itself that train, skips have gradients.
        """
        self._changed: list[nn.Module] = []
        whole: Any = plain(unet)
        skips = any(site.stage == "down" for site in sites) or not _is_frozen(whole)
        widths = {} if skips else _hidden_widths(whole)
        for part in (whole.mid_block, whole.up_blocks, whole.conv_out):
            for module in () if part is None else part.modules():
                lean = _lean_form(module, widths)
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


def _lean_form(module: Any, widths: Mapping[nn.Module, int]) -> Callable[..., Tensor] | None:
    if type(module) is GEGLU:
        return lambda x: _Geglu.apply(module.proj(x))  # pyright: ignore[reportReturnType]
    if type(module) is nn.Conv2d and module.padding_mode == "zeros" and module.groups == 1:
        return lambda x: _conv(x, module, None)
    if type(module) is ResnetBlock2D and _is_plain(module):
        return lambda x, temb: _resnet(module, x, temb, width=widths.get(module))
    return None


def _is_frozen(module: nn.Module) -> bool:
    return not any(parameter.requires_grad for parameter in module.parameters())


def _is_hooked(module: nn.Module) -> bool:
    # Others, as accelerate, replace forward passes too; what is inside a block counts.
    return any("forward" in vars(part) for part in module.modules())


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


def _hidden_widths(unet: Any) -> dict[nn.Module, int]:
    # How many of the first channels of an up block's input come from the block before.
    widths: dict[nn.Module, int] = {}
    width = unet.config.block_out_channels[-1]
    for block in unet.up_blocks:
        for resnet in block.resnets:
            widths[resnet] = width
            width = resnet.out_channels
    return widths


def _resnet(block: Any, x: Tensor, temb: Tensor, *, width: int | None) -> Tensor:
    # ResnetBlock2D.forward; gradients reach the first `width` channels of x, or all.
    hidden = _norm_silu_conv(x, block.norm1, block.conv1, width)
    hidden = hidden + block.time_emb_proj(silu(temb))[:, :, None, None]
    hidden = _norm_silu_conv(hidden, block.norm2, block.conv2, None)
    if block.conv_shortcut is not None:
        x = _conv(x, block.conv_shortcut, width)
    out = x + hidden
    return out if block.output_scale_factor == 1 else out / block.output_scale_factor


class _Conv(torch.autograd.Function):
    """A convolution that keeps nothing."""

    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride] - torch types it as *args
        ctx: Any, x: Tensor, conv: nn.Conv2d, width: int | None
    ) -> Tensor:
        ctx.conv, ctx.shape, ctx.dtype = conv, x.shape, x.dtype
        ctx.width = x.shape[1] if width is None else width
        return conv2d(x, conv.weight, conv.bias, conv.stride, conv.padding, conv.dilation)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, grad: Tensor
    ) -> tuple[Tensor, None, None]:
        found = _conv_grad(ctx.conv, grad, ctx.shape, ctx.width)
        return _widen(found.to(ctx.dtype), ctx.shape[1]), None, None


class _NormSiluConv(torch.autograd.Function):
    """Group norm, SiLU, convolution, of which only the input is kept."""

    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride] - torch types it as *args
        ctx: Any, x: Tensor, norm: nn.GroupNorm, conv: nn.Conv2d, width: int | None
    ) -> Tensor:
        ctx.save_for_backward(x)
        ctx.norm, ctx.conv = norm, conv
        size = x.shape[1] // norm.num_groups  # gradients go through whole groups
        ctx.width = x.shape[1] if width is None else min(-(-width // size) * size, x.shape[1])
        hidden = silu(group_norm(x, norm.num_groups, norm.weight, norm.bias, norm.eps))
        return conv2d(hidden, conv.weight, conv.bias, conv.stride, conv.padding)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, grad: Tensor
    ) -> tuple[Tensor, None, None, None]:
        (x,) = ctx.saved_tensors
        norm, width = ctx.norm, ctx.width
        through = _conv_grad(ctx.conv, grad, x.shape, width)
        groups = width * norm.num_groups // x.shape[1]
        part = x[:, :width].contiguous().to(norm.weight.dtype)
        weight, bias = norm.weight[:width], norm.bias[:width]
        size = (*part.shape[:2], part[0, 0].numel(), groups)
        hidden, *moments = aten.native_group_norm(part, weight, bias, *size, norm.eps)
        through = aten.silu_backward(through.to(hidden.dtype), hidden)
        only_input = [True, False, False]
        found, _, _ = aten.native_group_norm_backward(
            through, part, *moments, weight, *size, only_input
        )
        return _widen(found.to(x.dtype), x.shape[1]), None, None, None


class _Geglu(torch.autograd.Function):
    """``a * gelu(b)`` of the two halves of the last axis; its two derivatives are kept."""

    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride] - torch types it as *args
        ctx: Any, halves: Tensor
    ) -> Tensor:
        hidden, gate = halves.chunk(2, dim=-1)
        slopes = halves.new_empty(*halves.shape[:-1], 2, hidden.shape[-1])
        by_hidden, by_gate = slopes.unbind(dim=-2)
        aten.gelu.out(gate, out=by_hidden)
        aten.gelu_backward.grad_input(hidden, gate, grad_input=by_gate)
        ctx.save_for_backward(slopes)
        return hidden * by_hidden

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, grad: Tensor
    ) -> Tensor:
        (slopes,) = ctx.saved_tensors
        return (slopes * grad.unsqueeze(-2)).flatten(-2)


_conv: Any = _Conv.apply  # typed as any object's function
_norm_silu_conv: Any = _NormSiluConv.apply


def _conv_grad(conv: nn.Conv2d, grad: Tensor, shape: torch.Size, width: int) -> Tensor:
    # The gradient of the first `width` input channels, [N, width, h, w].
    batch, _, *size = shape
    weight = conv.weight[:, :width].to(grad.dtype)
    if conv.kernel_size == (1, 1) == conv.stride and conv.padding == (0, 0):
        return (weight.flatten(1).mT @ grad.flatten(2)).unflatten(2, tuple(size))
    how: Any = (conv.stride, conv.padding, conv.dilation)
    return conv2d_input([batch, width, *size], weight, grad, *how)


def _widen(grad: Tensor, channels: int) -> Tensor:
    # [N, width, h, w] -> [N, C, h, w], zero in the rest.
    more = channels - grad.shape[1]
    return pad(grad, (0, 0, 0, 0, 0, more)) if more else grad
