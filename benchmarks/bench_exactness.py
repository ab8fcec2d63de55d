"""How near the fast forms of HcP are to their formulas.

Fused attention and a training step's attention against explicit maps, at the sizes of Stable
Diffusion 1.5's cross-attentions; a training step with the lean backward pass against autograd's,
in the reduced layout. Run: ``python -m benchmarks.bench_exactness``.
"""

from typing import Any

import torch
from torch import Tensor

from benchmarks.output import finish, options
from benchmarks.unets import SIZES, Base, make_unet
from hcp import HcpAdapter, HcpConfig
from hcp.attention import fused_attention
from hcp.attention_grad import attention_in_training
from hcp.row_plan import RowPlan
from hcp.training.frozen import LeanBackward

TOKENS, HEADS, ROWS = 77, 8, 2
SHAPES = {1024: 80, 256: 160, 64: 160}
"""Latent pixels of 512 px pictures (the largest map, 4096, left out for time) -> head width."""
COLUMNS = (2, 4, 5)


def attention_differences(dtype: torch.dtype) -> dict[str, float]:
    """Differences to explicit float32 maps on the same inputs, rounded to the type first.

    Largest absolute ones, and their root mean square as a share of the output's. The peer are
    explicit maps computed in the type itself. Outputs reach 1.8, where half a step of a bfloat16
    is 0.0039.
    """
    generator = torch.Generator().manual_seed(0)
    mask = torch.zeros(ROWS, TOKENS, dtype=torch.bool)
    mask[:, list(COLUMNS)] = True
    plan = RowPlan(batch=ROWS, index=None, token_mask=mask, columns=torch.tensor([COLUMNS] * ROWS))
    worst: dict[str, float] = {}
    for pixels, width in SHAPES.items():
        query, key, value, key_h = (
            torch.randn(ROWS, HEADS, n, width, generator=generator).to(dtype)
            for n in (pixels, TOKENS, TOKENS, TOKENS)
        )
        chosen = mask[:, None, None]
        human = _map(query.float(), key_h.float())
        exact = (_map(query.float(), key.float()) + human * chosen) @ value.float()
        explicit = (_map(query, key) + _map(query, key_h) * chosen) @ value
        fused = fused_attention(query, key, value, key_h, mask, gamma=1.0).float()
        frozen, update, columns = attention_in_training(query, key, value, key_h, plan)
        trained = (frozen + update).to(dtype).float()
        exact_columns = human.mean(dim=1)[..., list(COLUMNS)]
        found = {
            "fused": _largest(fused - exact),
            "fused_rms_share": ((fused - exact).norm() / exact.norm()).item(),
            "explicit_in_type": _largest(explicit.float() - exact),
            "training": _largest(trained - exact),
            "training_maps": _largest(columns.float() - exact_columns),
        }
        worst = {name: max(worst.get(name, 0.0), value) for name, value in found.items()}
    return worst


def gradient_difference() -> float:
    """Relative norm of the change of the adapter's float64 gradients by the lean backward pass."""
    unet_config, side, text_dim = SIZES["reduced"]
    base = Base(unet=unet_config, side=side, text_dim=text_dim, device=torch.device("cpu"))
    unet = make_unet(base).double()
    adapter = HcpAdapter.create(unet, HcpConfig(width=64)).double()
    noisy, text = base.draw(ROWS, 4, side, side, seed=1), base.draw(ROWS, TOKENS, text_dim, seed=2)
    mask = torch.zeros(ROWS, TOKENS, dtype=torch.bool)
    mask[:, list(COLUMNS)] = True
    injection = adapter.inject(unet)
    grads: list[Tensor] = []
    for lean in (False, True):
        blocks = LeanBackward(unet) if lean else None
        adapter.zero_grad(set_to_none=True)
        with injection.tokens(mask, record=("mid", "up")):
            out = unet(noisy.double(), torch.tensor([100, 800]), text.double()).sample
            maps = injection.maps((side, side))
            loss = out.square().mean() + sum(m.attn_map.square().mean() for m in maps)
            loss.backward()
        grads.append(
            torch.cat([p.grad.flatten() for p in adapter.parameters() if p.grad is not None])
        )
        if blocks is not None:
            blocks.remove()
    plain, ours = grads
    return ((ours - plain).norm() / plain.norm()).item()


def _map(query: Tensor, key: Tensor) -> Tensor:
    return (query @ key.mT * query.shape[-1] ** -0.5).softmax(dim=-1)


def _largest(difference: Tensor) -> float:
    return difference.abs().max().item()


def main() -> None:
    """Compare, print a table, write the figures."""
    given = options(__doc__, "exactness").parse_args()
    found: dict[str, Any] = {
        str(dtype).removeprefix("torch."): {
            name: float(f"{value:.3g}") for name, value in attention_differences(dtype).items()
        }
        for dtype in (torch.float32, torch.bfloat16, torch.float16)
    }
    found["lean_backward_float64"] = float(f"{gradient_difference():.3g}")
    rows = [
        ("fused, float32", f"{found['float32']['fused']:.2g}", "<= 1e-5"),
        ("fused, bfloat16", f"{found['bfloat16']['fused']:.2g}", "<= 5e-3"),
        ("fused, bfloat16, RMS share", f"{found['bfloat16']['fused_rms_share']:.2g}", ""),
        ("explicit maps in bfloat16", f"{found['bfloat16']['explicit_in_type']:.2g}", "peer"),
        ("lean backward, float64", f"{found['lean_backward_float64']:.2g}", ""),
    ]
    finish(given, found, rows)


if __name__ == "__main__":
    main()
