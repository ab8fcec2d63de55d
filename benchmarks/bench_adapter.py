"""What HcP costs: generation against the base, a training step against LoRA of the same size.

The U-Net has random weights and the layout of Stable Diffusion 1.5, at reduced width unless
``--size`` says otherwise. Variants take turns inside one run, so that a busy machine slows all of
them; each pair's ratio is the median over rounds. HcP trains as ``hcp.training.trainer`` does, LoRA
as peft and diffusers do. ControlNet's cost stands beside HcP's. Every picture is the first of its
prompt, so that it pays for its human keys. A training step without ``hcp.training.frozen``, and
without each of its tricks, stands beside the whole one: a trick that brings less than 3 % of both
time and memory is to go. Memory is the peak of live tensors, weights included.

Run: ``python -m benchmarks.bench_adapter``.
"""

import platform
import statistics
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from peft import LoraConfig

from benchmarks.measure import alternate, peak_mib, summary
from benchmarks.output import finish, options
from benchmarks.unets import SIZES, Base, make_pipeline, make_unet
from hcp import HcpAdapter, HcpConfig
from hcp.objective import aligned_stages, alignment_terms
from hcp.targets import PriorBatch, build_targets
from hcp.training.frozen import TRICKS, LeanBackward, Trick

PROJECTIONS = ["to_q", "to_k", "to_v", "to_out.0"]
TOKENS, BATCH = 77, 2
WIDTH = 64  # of phi in the training comparison


def generation(base: Base, rounds: int, *, steps: int) -> dict[str, object]:
    """Base, adapter of the default width and ControlNet, guided, a human prompt."""
    unet = make_unet(base)
    pipeline = make_pipeline(unet, controlnet=False)
    controlled = make_pipeline(unet, controlnet=True)
    adapter = HcpAdapter.create(unet, HcpConfig()).to(base.device)
    text = base.draw(1, TOKENS, base.text_dim, seed=0)
    mask = torch.zeros(1, TOKENS, dtype=torch.bool)
    mask[0, 2:5] = True
    pose = torch.rand(1, 3, 8 * base.side, 8 * base.side, device=base.device)

    def draw(chosen: Any, **inputs: Any) -> None:
        chosen(
            prompt_embeds=text, negative_prompt_embeds=-text, num_inference_steps=steps,
            generator=torch.Generator().manual_seed(1), output_type="latent", **inputs,
        )  # fmt: skip

    def draw_with_hcp() -> None:
        adapter.attach(pipeline)
        with adapter.token_mask(mask):
            draw(pipeline)
        adapter.detach()

    variants = {
        "base": lambda: draw(pipeline),
        "hcp": draw_with_hcp,
        "controlnet": lambda: draw(controlled, image=pose),
    }
    seconds = alternate(variants, rounds, base.device)
    beside = summary(seconds, "controlnet", "base")
    return summary(seconds, "hcp", "base") | {
        "controlnet_ratio": beside["ratio"],
        "controlnet_ratio_range": beside["ratio_range"],
        "steps": steps,
        "guidance": 7.5,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The fixed inputs of a training step."""

    noisy: torch.Tensor
    noise: torch.Tensor
    timesteps: torch.Tensor
    text: torch.Tensor
    added: dict[str, torch.Tensor] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A way of training: its step and what it holds between steps."""

    run: Callable[[], None]
    parameters: int
    frozen_bytes: int
    rank: int = 0

    @property
    def resident_bytes(self) -> int:
        """The frozen base, and weights, gradients and AdamW's two moments in float32."""
        return self.frozen_bytes + 4 * 4 * self.parameters


def training(base: Base, rounds: int, *, each_trick: bool) -> dict[str, object]:
    """One optimizer step of HcP with its alignment loss, and of LoRA on all attention.

    ``each_trick``: also without each of the lean backward pass's tricks, in U-Nets of their own.
    """
    shape = (BATCH, 4, base.side, base.side)
    timesteps = torch.randint(0, 1000, (BATCH,), generator=torch.Generator().manual_seed(0))
    step = Step(
        noisy=base.draw(*shape, seed=1),
        noise=base.draw(*shape, seed=2),
        timesteps=timesteps.to(base.device),
        text=base.draw(BATCH, TOKENS, base.text_dim, seed=3),
        added=base.added(BATCH),
    )
    hcp = hcp_trainer(base, step)
    lora = lora_trainer(base, step, size=hcp.parameters)
    ways = {"lora": lora, "hcp": hcp, "plain": hcp_trainer(base, step, tricks=())}
    if each_trick:
        for trick in TRICKS:
            others: list[Trick] = [each for each in TRICKS if each != trick]
            ways[trick] = hcp_trainer(base, step, tricks=others)
    seconds = alternate({name: way.run for name, way in ways.items()}, rounds, base.device)
    peaks = {name: peak_mib(way.run, way.resident_bytes, base.device) for name, way in ways.items()}
    return to_lora(seconds, peaks, "hcp") | {
        "batch": BATCH,
        "hcp_parameters": hcp.parameters,
        "lora_parameters": lora.parameters,
        "lora_rank": lora.rank,
        "without_frozen": to_lora(seconds, peaks, "plain"),
        "without_a_trick": {
            trick: {
                "time": round(_ratio(seconds[trick], seconds["hcp"]), 3),
                "memory": round(peaks[trick] / peaks["hcp"], 3),
            }
            for trick in TRICKS
            if trick in ways
        },
    }


def to_lora(
    seconds: Mapping[str, list[float]], peaks: Mapping[str, float], way: str
) -> dict[str, object]:
    """Time and memory of a way beside LoRA's."""
    both = {name: seconds[name] for name in ("lora", way)}
    return summary(both, way, "lora") | {
        f"{way}_peak_mib": round(peaks[way], 1),
        "lora_peak_mib": round(peaks["lora"], 1),
        "memory_ratio": round(peaks[way] / peaks["lora"], 3),
    }


def hcp_trainer(base: Base, step: Step, *, tricks: Collection[Trick] = TRICKS) -> Trained:
    """The step with maps, targets and alignment loss of all default layers."""
    unet = make_unet(base)
    config = HcpConfig(width=WIDTH)
    adapter = HcpAdapter.create(unet, config).to(base.device)
    injection = adapter.inject(unet)
    LeanBackward(unet, tricks=tricks)
    optimizer = torch.optim.AdamW(adapter.parameters(), lr=1e-4)
    kinds = torch.zeros(len(step.text), TOKENS, dtype=torch.long)
    kinds[:, 2], kinds[:, 4:6] = 1, 2
    keypoints = torch.rand(len(step.text), 2, 17, 3, generator=torch.Generator().manual_seed(1))
    side_px = 8 * base.side
    priors = PriorBatch(
        image_size=(side_px, side_px),
        keypoints=(keypoints * torch.tensor([side_px, side_px, 1.0])).to(base.device),
        masks=torch.ones(len(kinds), side_px, side_px, dtype=torch.uint8, device=base.device),
    )

    def run() -> None:
        with injection.tokens(kinds > 0, kinds=kinds, record=aligned_stages(config.alignment)):
            predicted = predict(unet, step)
            maps, selection = injection.maps((base.side, base.side)), injection.selection()
        assert selection.kinds is not None
        sizes = [(layer.height, layer.width) for layer in maps]
        table = config.alignment.priors
        terms = alignment_terms(
            maps, build_targets(priors, selection.kinds, sizes, table=table), selection.valid,
            step.timesteps, config=config.alignment, num_train_timesteps=1000,
        )  # fmt: skip
        loss = torch.nn.functional.mse_loss(predicted, step.noise)
        descend(optimizer, loss + config.alignment.alpha * terms.total)

    return Trained(run=run, parameters=_count(adapter), frozen_bytes=_bytes(unet))


def lora_trainer(base: Base, step: Step, *, size: int) -> Trained:
    """LoRA on every attention projection, of the rank whose size is nearest to ``size``."""
    probe = lora_unet(base, 1)
    rank = max(1, round(size / sum(p.numel() for p in probe.parameters() if p.requires_grad)))
    del probe
    unet = lora_unet(base, rank)
    trainable = [p for p in unet.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trainable, lr=1e-4)

    def run() -> None:
        descend(optimizer, torch.nn.functional.mse_loss(predict(unet, step), step.noise))

    count = sum(p.numel() for p in trainable)
    frozen = _bytes(unet) - 4 * count
    return Trained(run=run, parameters=count, frozen_bytes=frozen, rank=rank)


def lora_unet(base: Base, rank: int) -> Any:
    """The frozen U-Net with peft's LoRA in all its attentions."""
    unet = make_unet(base)
    unet.add_adapter(LoraConfig(r=rank, lora_alpha=rank, target_modules=PROJECTIONS))
    return unet


def predict(unet: Any, step: Step) -> torch.Tensor:
    """The U-Net's output."""
    return unet(step.noisy, step.timesteps, step.text, added_cond_kwargs=step.added).sample


def _ratio(ours: list[float], others: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(ours, others, strict=True))


def _count(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def _bytes(module: torch.nn.Module) -> int:
    return sum(p.numel() * p.element_size() for p in module.parameters())


def descend(optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> None:
    """Backward and step."""
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def main() -> None:
    """Run both comparisons, print a table, write the figures."""
    parser = options(__doc__, "adapter")
    parser.add_argument("--size", choices=sorted(SIZES), default="reduced")
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    rounds, steps = (3, 4) if given.quick else (15, 10)
    torch.set_num_threads(1)
    unet, side, text_dim = SIZES[given.size]
    base = Base(unet=unet, side=side, text_dim=text_dim, device=torch.device(given.device))
    cpu = base.device.type == "cpu"
    found: dict[str, Any] = {}
    if not base.pooled_dim:  # SDXL's pipeline is another; its training step is measured
        found["generation"] = generation(base, rounds, steps=steps)
    found["training_step"] = training(base, rounds, each_trick=given.size == "reduced")
    found["settings"] = {
        "device": platform.machine() if cpu else torch.cuda.get_device_name(),
        "threads": torch.get_num_threads(),
        "size": given.size,
        "clock": "processor seconds" if cpu else "wall seconds",
    }
    finish(given, found, table(found))


def table(found: dict[str, Any]) -> list[tuple[str, object, str]]:
    """Rows of what was measured."""
    rows: list[tuple[str, object, str]] = []
    if drawn := found.get("generation"):
        rows.append(("generation, to the base", drawn["ratio"], "<= 1.02"))
        rows.append(("ControlNet, to the base", drawn["controlnet_ratio"], "peer"))
    step = found["training_step"]
    plain = step["without_frozen"]
    rows += [
        ("training step, to LoRA: time", step["ratio"], "<= 0.70"),
        ("training step, to LoRA: memory", step["memory_ratio"], "<= 0.65"),
        ("training step, HcP: s", step["hcp_s"], f"LoRA {step['lora_s']}"),
        ("training step, HcP: MiB", step["hcp_peak_mib"], f"LoRA {step['lora_peak_mib']}"),
        ("without frozen.py, to LoRA: time", plain["ratio"], ""),
        ("without frozen.py, to LoRA: memory", plain["memory_ratio"], ""),
    ]
    for trick, cost in step["without_a_trick"].items():
        both = f"time {cost['time']:.3f}, memory {cost['memory']:.3f}"
        rows.append((f"without {trick}, to all", both, ">= 1.03 in one"))
    return rows


if __name__ == "__main__":
    main()
