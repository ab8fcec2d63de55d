"""The training loop in plain torch: a frozen base, HcP layers in its U-Net, two losses.

``L = L_denoise + alpha * L_alignment``. Everything random in a step comes from (seed, step,
micro-batch), so that a resumed run takes the very steps that an uninterrupted one would have taken,
and two workers those of one that accumulates two batches.

Only the adapter has parameters that require gradients, so autograd records nothing before the
first HcP layer of the U-Net.

Dimension legend: B batch, C h w latent channels, height and width, K text tokens, J human tokens.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
import torch
from diffusers import DDPMScheduler
from diffusers.training_utils import EMAModel
from torch import Tensor, nn

from hcp.adapter import HcpAdapter
from hcp.base import BasePipeline, frozen_modules, native_size_px
from hcp.inject import Injection
from hcp.objective import aligned_stages, alignment_terms
from hcp.resnet_prior import ResnetPrior
from hcp.targets import build_targets
from hcp.training.batches import Batch, LoaderState
from hcp.training.config import TrainConfig
from hcp.training.denoising import denoising_loss, encode, prior_batch, step_generator
from hcp.training.frozen import LeanBackward

logger = logging.getLogger(__name__)

PREDICTION_TYPES = ("epsilon", "v_prediction")


@dataclass(frozen=True, slots=True, kw_only=True)
class StepMetrics:
    """One optimizer step, as this worker saw it."""

    step: int  # 1-based
    loss: float
    denoise: float
    alignment: float  # weighted by lambda(t), before alpha
    learning_rate: float
    grad_norm: float  # before clipping
    images_per_s: float  # of this worker, waiting for data included
    epoch: int


Losses = tuple[Tensor, Tensor, Tensor]
"""The total, the denoising and the alignment loss of one forward pass; scalars."""


class Trainer:
    """HcP layers in training inside one frozen pipeline; state changes only in ``step``."""

    def __init__(
        self,
        pipeline: BasePipeline,
        config: TrainConfig,
        *,
        rank: int = 0,
        world_size: int = 1,
        base_model: str | None = None,
        dataset_version: str | None = None,
    ) -> None:
        """Freeze the pipeline and put new HcP layers into its U-Net.

        Raises:
            ValueError: the base predicts neither noise nor velocity, or has no place for a layer.
            WeightsError: the resnet50 prior is wanted and its weights cannot be had.
        """
        self.pipeline, self.device = pipeline, torch.device(pipeline.device)
        config = config.resolved(
            on_gpu=self.device.type == "cuda", native_px=native_size_px(pipeline)
        )
        self.config = config
        self.rank, self.world_size = rank, world_size
        self.dataset_version = dataset_version
        for module in frozen_modules(pipeline):
            module.requires_grad_(requires_grad=False)
        self.scheduler = _scheduler(pipeline)
        self.adapter = HcpAdapter.create(pipeline.unet, config.hcp, base_model=base_model)
        self.adapter.to(self.device)
        _log_sizes(self.adapter)
        self.injection: Injection = self.adapter.inject(pipeline.unet)
        self._lean = LeanBackward(pipeline.unet, self.adapter.card.sites)
        if config.gradient_checkpointing:
            pipeline.unet.enable_gradient_checkpointing()
        self.parameters: list[nn.Parameter] = list(self.adapter.parameters())
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self.ema: EMAModel | None = None
        if config.ema_decay is not None:
            self.ema = EMAModel(self.parameters, decay=config.ema_decay)
        self.resnet: ResnetPrior | None = None
        if "resnet50" in config.hcp.alignment.priors.names():
            self.resnet = ResnetPrior(config.resnet_weights).to(self.device)
        self.step_done = 0
        self.loader = LoaderState()
        self._last_end_s: float | None = None

    def step(self, batches: Sequence[tuple[Batch, LoaderState]]) -> StepMetrics:
        """One optimizer step over ``accumulate`` batches.

        Raises:
            FloatingPointError: the loss is not finite.
        """
        start_s = perf_counter() if self._last_end_s is None else self._last_end_s
        lr = learning_rate(self.config, self.step_done)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.zero_grad(set_to_none=False)
        sums = np.zeros(3)
        for i, (batch, _) in enumerate(batches):
            part = i * self.world_size + self.rank  # of all ranks: two workers equal one
            generator = step_generator(self.config.seed, self.step_done, 0, part)
            losses = self._backward(batch, generator, share=1 / len(batches))
            sums += [loss.item() for loss in losses]
        if not np.isfinite(sums).all():
            raise FloatingPointError(f"loss is {sums[0]} at step {self.step_done + 1}")
        average_gradients(self.parameters, self.world_size)
        norm = nn.utils.clip_grad_norm_(self.parameters, self.config.max_grad_norm)
        self.optimizer.step()
        if self.ema is not None:
            self.ema.step(self.parameters)
        self.step_done += 1
        self.loader = batches[-1][1]
        loss, denoise, alignment = sums / len(batches)
        images = sum(len(batch.keys) for batch, _ in batches)
        self._last_end_s = perf_counter()
        return StepMetrics(
            step=self.step_done,
            loss=float(loss),
            denoise=float(denoise),
            alignment=float(alignment),
            learning_rate=lr,
            grad_norm=float(norm),
            images_per_s=images / (self._last_end_s - start_s),
            epoch=self.loader.epoch,
        )

    def close(self) -> None:
        """Take the layers out of the pipeline again."""
        self._lean.remove()
        self.injection.remove()
        if self.config.gradient_checkpointing:
            self.pipeline.unet.disable_gradient_checkpointing()

    def _backward(self, batch: Batch, generator: torch.Generator, *, share: float) -> Losses:
        config = self.config.hcp.alignment
        encoded = encode(self.pipeline, batch, generator)
        latents = encoded.latents
        noise = torch.randn(latents.shape, generator=generator).to(latents)
        total_steps = int(self.scheduler.config.num_train_timesteps)
        timesteps = torch.randint(total_steps, (len(latents),), generator=generator)
        timesteps = timesteps.to(self.device)
        noisy = self.scheduler.add_noise(latents, noise, timesteps)
        kinds = batch.token_kinds
        # The backward pass stays inside: gradient checkpointing runs the layers again.
        with self.injection.tokens(kinds > 0, kinds=kinds, record=aligned_stages(config)):
            with torch.autocast(
                self.device.type, torch.bfloat16, enabled=self.config.precision == "bfloat16"
            ):
                prediction = encoded.predict(self.pipeline.unet, noisy, timesteps)
            losses = self._losses(batch, prediction, latents, noise, timesteps)
            if losses[0].requires_grad:  # not if no caption of the batch has a human word
                (losses[0] * share).backward()
        return losses

    def _losses(
        self, batch: Batch, prediction: Tensor, latents: Tensor, noise: Tensor, timesteps: Tensor
    ) -> Losses:
        config = self.config.hcp.alignment
        denoise = denoising_loss(
            self.scheduler, prediction, latents, noise=noise, timesteps=timesteps,
            min_snr_gamma=self.config.min_snr_gamma,
        )  # fmt: skip
        maps = self.injection.maps((latents.shape[-2], latents.shape[-1]))
        selection = self.injection.selection()
        targets: dict[tuple[int, int], Tensor] = {}
        if maps:
            assert selection.kinds is not None
            priors = prior_batch(batch, config, device=self.device)
            sizes = [(layer.height, layer.width) for layer in maps]
            targets = build_targets(
                priors, selection.kinds, sizes, table=config.priors, resnet=self.resnet
            )
        terms = alignment_terms(
            maps, targets, selection.valid, timesteps, config=config,
            num_train_timesteps=int(self.scheduler.config.num_train_timesteps),
        )  # fmt: skip
        return denoise + config.alpha * terms.total, denoise, terms.total


def _scheduler(pipeline: BasePipeline) -> Any:
    scheduler: Any = DDPMScheduler.from_config(pipeline.scheduler.config)
    if scheduler.config.prediction_type not in PREDICTION_TYPES:
        raise ValueError(
            f"the base predicts {scheduler.config.prediction_type!r}; "
            f"training knows {', '.join(PREDICTION_TYPES)}"
        )
    return scheduler


def _log_sizes(adapter: HcpAdapter) -> None:
    sizes = adapter.parameter_count()
    stages = ", ".join(f"{stage}/{scale}: {n}" for (stage, scale), n in sizes.items())
    logger.info("HcP layers: %d parameters; %s", sum(sizes.values()), stages)


def train_steps(
    trainer: Trainer, batches: Iterator[tuple[Batch, LoaderState]], *, until: int
) -> Iterator[StepMetrics]:
    """Train until optimizer step `until`, yielding after each step.

    `batches` must continue at ``trainer.loader`` (``iter_batches(state=...)``).
    """
    while trainer.step_done < until:
        yield trainer.step([next(batches) for _ in range(trainer.config.accumulate)])


def learning_rate(config: TrainConfig, step_done: int) -> float:
    """Linear warm-up to the constant rate; never 0, so that the first step counts."""
    return config.learning_rate * min(1.0, (step_done + 1) / max(config.warmup_steps, 1))


def average_gradients(parameters: Sequence[nn.Parameter], world_size: int) -> None:
    """Average the gradients over the workers, as one tensor.

    Only the small adapter trains, so one all-reduce after the backward pass replaces wrapping the
    base in DistributedDataParallel. A parameter without a gradient, as where no caption of a worker
    had a human word, counts as zero, and has a gradient of zeros afterwards.
    """
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    if world_size == 1:
        return
    flat = torch.cat([p.grad.flatten() for p in parameters if p.grad is not None])
    torch.distributed.all_reduce(flat)
    flat /= world_size
    parts = flat.split([p.numel() for p in parameters])
    for parameter, part in zip(parameters, parts, strict=True):
        parameter.grad = part.view_as(parameter).clone()
