"""What HcP costs: generation against the base, a training step against LoRA of the same size.

The U-Net has the layout of Stable Diffusion 1.5 at reduced width and random weights. Variants take
turns inside one run, so that a busy machine slows all of them; each pair's ratio is the median over
rounds. Run: ``python -m benchmarks.bench_adapter [--rounds N] [--out FILE]``.
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from peft import LoraConfig

from hcp import HcpAdapter, HcpConfig
from hcp.objective import aligned_stages, alignment_terms
from hcp.targets import PriorBatch, build_targets

TOKENS, TEXT_DIM, SIDE = 77, 768, 32
PROJECTIONS = ["to_q", "to_k", "to_v", "to_out.0"]


def reduced_unet() -> Any:
    """SD 1.5's blocks at a fifth of its width, on 32 x 32 latents."""
    torch.manual_seed(0)
    unet: Any = UNet2DConditionModel(
        sample_size=SIDE,
        block_out_channels=(64, 128, 256, 256),
        cross_attention_dim=TEXT_DIM,
        attention_head_dim=8,
    )
    return unet.eval().requires_grad_(requires_grad=False)


def reduced_pipeline(unet: Any) -> Any:
    """A pipeline for ready-made text embeddings; its decoder is not measured."""
    build: Any = StableDiffusionPipeline
    vae: Any = AutoencoderKL
    pipeline = build(
        vae=vae(block_out_channels=(8,) * 4, down_block_types=("DownEncoderBlock2D",) * 4,
                up_block_types=("UpDecoderBlock2D",) * 4, norm_num_groups=4),
        text_encoder=None, tokenizer=None, unet=unet,
        scheduler=DDIMScheduler(steps_offset=1, clip_sample=False),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def alternate(variants: Mapping[str, Callable[[], None]], rounds: int) -> dict[str, list[float]]:
    """Seconds of processor time of each variant in each round, after one round to warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for number in range(rounds + 1):
        for name, run in variants.items():
            start = time.process_time()
            run()
            if number:
                seconds[name].append(time.process_time() - start)
    return seconds


def generation(rounds: int, *, steps: int) -> dict[str, object]:
    """Base and adapter, guided, a human prompt; the adapter has the default width."""
    pipeline = reduced_pipeline(reduced_unet())
    adapter = HcpAdapter.create(pipeline.unet, HcpConfig())
    generator = torch.Generator().manual_seed(0)
    text = torch.randn(1, TOKENS, TEXT_DIM, generator=generator)
    mask = torch.zeros(1, TOKENS, dtype=torch.bool)
    mask[0, 2:5] = True

    def draw() -> None:
        pipeline(
            prompt_embeds=text, negative_prompt_embeds=-text, num_inference_steps=steps,
            generator=torch.Generator().manual_seed(1), output_type="latent",
        )  # fmt: skip

    def draw_with_hcp() -> None:
        adapter.attach(pipeline)
        with adapter.token_mask(mask):
            draw()
        adapter.detach()

    seconds = alternate({"base": draw, "hcp": draw_with_hcp}, rounds)
    return summary(seconds, "hcp", "base") | {"steps": steps, "guidance": 7.5}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The fixed inputs of a training step."""

    noisy: torch.Tensor
    noise: torch.Tensor
    timesteps: torch.Tensor
    text: torch.Tensor


def training(rounds: int, *, batch: int, width: int) -> dict[str, object]:
    """One optimizer step of HcP with its alignment loss, and of LoRA on all attention."""
    generator = torch.Generator().manual_seed(0)
    step = Step(
        noisy=torch.randn(batch, 4, SIDE, SIDE, generator=generator),
        noise=torch.randn(batch, 4, SIDE, SIDE, generator=generator),
        timesteps=torch.randint(0, 1000, (batch,), generator=generator),
        text=torch.randn(batch, TOKENS, TEXT_DIM, generator=generator),
    )
    adapter, hcp_step = hcp_trainer(step, width=width)
    size = sum(p.numel() for p in adapter.parameters())
    lora_size, rank, lora_step = lora_trainer(step, size=size)
    seconds = alternate({"lora": lora_step, "hcp": hcp_step}, rounds)
    return summary(seconds, "hcp", "lora") | {
        "batch": batch,
        "hcp_parameters": size,
        "lora_parameters": lora_size,
        "lora_rank": rank,
    }


def hcp_trainer(step: Step, *, width: int) -> tuple[HcpAdapter, Callable[[], None]]:
    """The step with maps, targets and alignment loss of all default layers."""
    unet = reduced_unet()
    config = HcpConfig(width=width)
    adapter = HcpAdapter.create(unet, config)
    injection = adapter.inject(unet)
    optimizer = torch.optim.AdamW(adapter.parameters(), lr=1e-4)
    kinds = torch.zeros(len(step.text), TOKENS, dtype=torch.long)
    kinds[:, 2], kinds[:, 4:6] = 1, 2
    keypoints = torch.rand(len(step.text), 2, 17, 3, generator=torch.Generator().manual_seed(1))
    priors = PriorBatch(
        image_size=(8 * SIDE, 8 * SIDE),
        keypoints=keypoints * torch.tensor([8.0 * SIDE, 8.0 * SIDE, 1.0]),
        masks=torch.ones(len(step.text), 8 * SIDE, 8 * SIDE, dtype=torch.uint8),
    )

    def run() -> None:
        with injection.tokens(kinds > 0, kinds=kinds, record=aligned_stages(config.alignment)):
            predicted = unet(step.noisy, step.timesteps, step.text).sample
            maps, selection = injection.maps((SIDE, SIDE)), injection.selection()
        assert selection.kinds is not None
        sizes = [(layer.height, layer.width) for layer in maps]
        table = config.alignment.priors
        terms = alignment_terms(
            maps, build_targets(priors, selection.kinds, sizes, table=table), selection.valid,
            step.timesteps, config=config.alignment, num_train_timesteps=1000,
        )  # fmt: skip
        loss = torch.nn.functional.mse_loss(predicted, step.noise)
        finish(optimizer, loss + config.alignment.alpha * terms.total)

    return adapter, run


def lora_trainer(step: Step, *, size: int) -> tuple[int, int, Callable[[], None]]:
    """LoRA on every attention projection, of the rank whose size is nearest to ``size``."""
    probe = lora_unet(1)
    rank = max(1, round(size / sum(p.numel() for p in probe.parameters() if p.requires_grad)))
    unet = lora_unet(rank)
    trainable = [p for p in unet.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trainable, lr=1e-4)

    def run() -> None:
        predicted = unet(step.noisy, step.timesteps, step.text).sample
        finish(optimizer, torch.nn.functional.mse_loss(predicted, step.noise))

    return sum(p.numel() for p in trainable), rank, run


def lora_unet(rank: int) -> Any:
    """The frozen U-Net with peft's LoRA in all its attentions."""
    unet = reduced_unet()
    unet.add_adapter(LoraConfig(r=rank, lora_alpha=rank, target_modules=PROJECTIONS))
    return unet


def finish(optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> None:
    """Backward and step."""
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def summary(seconds: Mapping[str, list[float]], ours: str, other: str) -> dict[str, object]:
    """Medians, and the median and range of the ratio of neighbouring runs."""
    ratios = [a / b for a, b in zip(seconds[ours], seconds[other], strict=True)]
    return {
        **{f"{name}_s": round(statistics.median(each), 4) for name, each in seconds.items()},
        "ratio": round(statistics.median(ratios), 3),
        "ratio_range": [round(min(ratios), 3), round(max(ratios), 3)],
        "rounds": len(ratios),
    }


def main() -> None:
    """Run both comparisons, print a table, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--width", type=int, default=64, help="of phi in the training comparison")
    here = Path(__file__).parent / "results" / "adapter.json"
    parser.add_argument("--out", type=Path, default=here)
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = {
        "generation": generation(options.rounds, steps=options.steps),
        "training_step": training(options.rounds, batch=options.batch, width=options.width),
        "machine": {
            "cpu": platform.machine(),
            "cores": os.cpu_count(),
            "threads": 1,
            "torch": torch.__version__,
            "clock": "processor seconds",
        },
    }
    for name in ("generation", "training_step"):
        print(f"{name:14s}" + "  ".join(f"{k}={v}" for k, v in found[name].items()))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
