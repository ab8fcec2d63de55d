"""The training loop in plain torch, the same for every method: a base, what the method trains.

``L = L_denoise + what the method adds``. Everything random in a step comes from (seed, step,
micro-batch), so that a resumed run takes the very steps that an uninterrupted one would have taken,
and two workers those of one that accumulates two batches.

Dimension legend: B batch, C h w latent channels, height and width.
"""

import resource
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
import torch
from diffusers.training_utils import EMAModel
from torch import Tensor, nn

from hcp.base import BasePipeline, frozen_modules, native_size_px
from hcp.latents import LatentScale
from hcp.training.agreement import Agreement, all_finite
from hcp.training.batches import Batch, LoaderState
from hcp.training.compiled import CompiledBlocks
from hcp.training.config import TrainConfig
from hcp.training.denoising import denoising_loss, draw_noise, encode, step_generator
from hcp.training.gradients import average_gradients
from hcp.training.methods.protocol import Method, Terms
from hcp.training.methods.table import make_method
from hcp.training.metrics import StepMetrics
from hcp.training.optimisers import make_optimizer
from hcp.training.precision import autocast, gradient_scaler, keep_encoder_exact
from hcp.training.scheduler import training_scheduler
from storage.errors import HcpError

LOSSES = ("loss", "denoise", "alignment")
"""What the ranks average; each has the rest of a step's figures of its own."""
_RECENT = 200  # steps, more than a driver has waiting to be written
_MAXRSS_PER_MIB = 2**20 if sys.platform == "darwin" else 2**10  # bytes there, KiB elsewhere


@dataclass(frozen=True, slots=True, kw_only=True)
class Losses:
    """The losses of one forward pass; scalars."""

    total: Tensor
    denoise: Tensor
    terms: Terms  # of the method


class Trainer:
    """A method in training inside one pipeline; state changes only in ``step``."""

    def __init__(
        self,
        pipeline: BasePipeline,
        config: TrainConfig,
        *,
        rank: int = 0,
        world_size: int = 1,
        base_model: str | None = None,
        dataset_version: str | None = None,
        teachers: tuple[str, ...] = (),
    ) -> None:
        """Freeze the pipeline and put into it what the method trains.

        Raises:
            ValueError: the base's noise cannot be served, the base has no place for what the method
                trains, or the optimizer cannot run on the device.
            MissingExtraError: the optimizer's library is not installed.
            WeightsError: the resnet50 prior is wanted and its weights cannot be had.
            CheckpointError: the VAE's latents cannot be scaled as its settings say.
        """
        self.pipeline, self.device = pipeline, torch.device(pipeline.device)
        config = config.resolved(
            on_gpu=self.device.type == "cuda", native_px=native_size_px(pipeline)
        )
        self.config = config
        self.rank, self.world_size = rank, world_size
        self.base_model, self.dataset_version = base_model, dataset_version
        self.teachers = teachers
        for module in frozen_modules(pipeline):
            module.requires_grad_(requires_grad=False)
        if pipeline.vae is not None:
            LatentScale.of(pipeline.vae.config)  # one that makes no sense is told now
        self.scheduler = training_scheduler(pipeline)
        keep_encoder_exact(pipeline)
        self.method: Method = self.new_method()
        if config.gradient_checkpointing:
            pipeline.unet.enable_gradient_checkpointing()
        self._compiled = CompiledBlocks(pipeline.unet) if config.compile else None
        self.parameters: list[nn.Parameter] = [p for _, p in self.method.named_parameters()]
        self.optimizer = make_optimizer(
            self.parameters, config.optimizer,
            learning_rate=config.learning_rate, weight_decay=config.weight_decay,
        )  # fmt: skip
        self.scaler = gradient_scaler(config.precision, self.device)
        self.ema = self._new_ema()
        self.agreement = Agreement(world_size=world_size, device=self.device)
        # A checkpoint keeps them: a killed driver may not have written them down.
        self.recent = deque[StepMetrics](maxlen=max(_RECENT, config.checkpoint_every))
        self.step_done = 0
        self.loader = LoaderState()

    def start_from(self, uri: str) -> None:
        """Begin with the weights of a checkpoint; call it before the first step.

        Raises:
            CheckpointError: it does not fit the method, its settings or the base.
        """
        self.method.start_from(uri, any_base=self.config.any_base)
        self.ema = self._new_ema()

    def new_method(self) -> Method:
        """What trains, put into the frozen pipeline; a comparison may train something else."""
        return make_method(self.pipeline, self.config, base_model=self.base_model)

    def step(
        self, batches: Sequence[tuple[Batch, LoaderState]], *, waited_s: float = 0.0
    ) -> StepMetrics:
        """One optimizer step over ``accumulate`` batches, which took ``waited_s`` to come.

        All ranks take it together. Where the loss or the gradient is not finite on any rank, no
        rank changes its weights; the step and the place in the data go on all the same, since a
        restart would only repeat it.

        Raises:
            HcpError: another rank cannot go on.
        """
        start_s = perf_counter() - waited_s
        rate = self._set_learning_rate()
        self.optimizer.zero_grad(set_to_none=False)
        passes = [
            self._backward(batch, self._generator(part), share=1 / len(batches))
            for part, (batch, _) in enumerate(batches)
        ]
        losses = mean_losses(passes)
        bad = [each for batch, _ in batches for each in batch.bad]
        means = self.agreement.settle([losses[name] for name in LOSSES], bad=bad)
        losses |= dict(zip(LOSSES, means, strict=True))
        norm = self._update() if all_finite(means) else self._skip()
        self.step_done += 1
        self.loader = batches[-1][1]
        images = sum(len(batch.keys) for batch, _ in batches)
        taken_s = perf_counter() - start_s
        metrics = StepMetrics(
            step=self.step_done,
            learning_rate=rate,
            grad_norm=norm,
            images_per_s=images / taken_s,
            epoch=self.loader.epoch,
            data_wait=waited_s / taken_s,
            device_memory_mib=peak_memory_mib(self.device),
            skipped=self.agreement.skipped,
            bad_samples=self.agreement.bad_samples,
            **losses,
        )
        self.recent.append(metrics)
        return metrics

    def _update(self) -> float:
        """Change the weights, unless the ranks' mean gradient is not finite; count the step.

        An overflow of scaled float16 gradients counts as none: a smaller scale follows.
        """
        average_gradients(self.parameters, self.world_size)
        self.scaler.unscale_(self.optimizer)
        norm = float(nn.utils.clip_grad_norm_(self.parameters, self.config.max_grad_norm))
        if finite := all_finite([norm]):
            self.scaler.step(self.optimizer)
            if self.ema is not None:
                self.ema.step(self.parameters)
        if finite or self.scaler.get_scale() <= 1:
            self.agreement.count(finite=finite)
        self.scaler.update()
        return norm

    def _skip(self) -> float:
        self.agreement.count(finite=False)
        return float("nan")

    def close(self) -> None:
        """Take out of the pipeline what the method put into it."""
        if self._compiled is not None:
            self._compiled.remove()
        self.method.close()
        if self.config.gradient_checkpointing:
            self.pipeline.unet.disable_gradient_checkpointing()

    def autocast(self) -> AbstractContextManager[Any]:
        """The context in which the U-Net computes."""
        return autocast(self.config.precision, self.device)

    def _new_ema(self) -> EMAModel | None:
        decay = self.config.ema_decay
        return None if decay is None else EMAModel(self.parameters, decay=decay)

    def _set_learning_rate(self) -> float:
        rate = self.config.rate(self.step_done)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        return rate

    def _generator(self, part: int) -> torch.Generator:
        index = part * self.world_size + self.rank  # of all ranks: two workers equal one
        return step_generator(self.config.seed, self.step_done, 0, index)

    def _backward(self, batch: Batch, generator: torch.Generator, *, share: float) -> Losses:
        encoded = encode(self.pipeline, batch, generator)
        latents = encoded.latents
        noise = draw_noise(latents, generator, offset=self.config.noise_offset)
        total_steps = int(self.scheduler.config.num_train_timesteps)
        timesteps = torch.randint(total_steps, (len(latents),), generator=generator)
        timesteps = timesteps.to(self.device)
        noisy = self.scheduler.add_noise(latents, noise, timesteps)
        # The backward pass stays inside: gradient checkpointing runs the layers again.
        with self.method.around(batch):
            with self.autocast():
                prediction = encoded.predict(self.pipeline.unet, noisy, timesteps)
            size = (latents.shape[-2], latents.shape[-1])
            denoise = denoising_loss(
                self.scheduler, prediction, latents, noise=noise, timesteps=timesteps,
                min_snr_gamma=self.config.min_snr_gamma,
                pixel_weight=self.method.pixel_weight(batch, size),
            )  # fmt: skip
            terms = self.method.extra(batch, timesteps, size)
            losses = Losses(total=denoise + terms.total, denoise=denoise, terms=terms)
            if losses.total.requires_grad:  # not if no caption of the batch has a human word
                self.scaler.scale(losses.total * share).backward()
        return losses


def mean_losses(passes: Sequence[Losses]) -> dict[str, Any]:
    """The means over an optimizer step's forward passes, under ``StepMetrics``' names.

    Read from the device at once: each reading waits for it.
    """
    named = [(name, value) for each in passes for name, value in _scalars(each)]
    numbers = torch.stack([value.detach().double() for _, value in named]).tolist()
    found: dict[str, list[float]] = {}
    for (name, _), number in zip(named, numbers, strict=True):
        found.setdefault(name, []).append(number)
    losses = {name: float(np.mean(found.pop(name))) for name in ("loss", "denoise", "alignment")}
    # Not a number: none of the forward pass's samples has what would be measured.
    known = {name: [v for v in values if v == v] for name, values in found.items()}
    means = {name: float(np.mean(values)) for name, values in known.items() if values}
    share = means.pop("attention_share", None)
    return {**losses, "alignment_by_stage": means, "attention_share": share}


def _scalars(losses: Losses) -> Iterator[tuple[str, Tensor]]:
    yield "loss", losses.total
    yield "denoise", losses.denoise
    yield "alignment", losses.terms.alignment
    yield from losses.terms.by_stage.items()
    if losses.terms.attention_share is not None:
        yield "attention_share", losses.terms.attention_share


def peak_memory_mib(device: torch.device) -> float:
    """Most memory at a time so far: what torch took of a GPU, this process's on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _MAXRSS_PER_MIB


def train_steps(
    trainer: Trainer, batches: Iterator[tuple[Batch, LoaderState]], *, until: int
) -> Iterator[StepMetrics]:
    """Train until optimizer step `until`, yielding after each step.

    `batches` must continue at ``trainer.loader`` (``iter_batches(state=...)``).
    """
    while trainer.step_done < until:
        start_s = perf_counter()
        taken = _taken(trainer, batches)
        yield trainer.step(taken, waited_s=perf_counter() - start_s)


def _taken(
    trainer: Trainer, batches: Iterator[tuple[Batch, LoaderState]]
) -> list[tuple[Batch, LoaderState]]:
    try:
        return [next(batches) for _ in range(trainer.config.accumulate)]
    except HcpError as error:  # the others wait for this rank
        trainer.agreement.fail(str(error), n_losses=len(LOSSES))
        raise
