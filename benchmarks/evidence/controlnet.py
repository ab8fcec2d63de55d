"""The reference that needs more input: a ControlNet whose pictures are given their poses.

Zhang et al. 2023: a copy of the U-Net's way down, whose outputs enter the frozen U-Net through
convolutions from zero. It trains in the product's own loop on the same batches; the key pose
pictures are drawn from the people that the data set holds.

Dimension legend: B batch, H W pixels.
"""

import json
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from diffusers import (
    ControlNetModel,
    StableDiffusionControlNetPipeline,
    StableDiffusionXLControlNetPipeline,
    StableDiffusionXLPipeline,
)
from numpy.typing import NDArray
from safetensors.torch import load, save
from torch import Tensor, nn

from hcp.base import BasePipeline, load_base
from hcp.pose_image import draw_pose
from hcp.training.batches import Batch, ahead
from hcp.training.checkpoints import CheckpointFolder
from hcp.training.loop import RunEnd, Surroundings, run_training
from hcp.training.methods.protocol import Facts, Method, Terms, no_terms
from hcp.training.metrics import StepMetrics
from hcp.training.precision import base_dtype
from hcp.training.trainer import Trainer
from hcp.training.worker import Place, TrainJob, find_inputs, open_batches, resume
from storage.errors import CheckpointError
from storage.locations import join, read_bytes, write_atomic
from storage.records import Keypoint

NAME, FILE, CARD = "controlnet", "controlnet.safetensors", "controlnet.json"
_WIDTHS = (16, 32, 96, 256)  # of the layers that make a pose picture as small as the latents
_SIDE_PER_LINE_PX = 128


def pose_picture(
    people: Sequence[Sequence[Keypoint]], *, width_px: int, height_px: int
) -> NDArray[np.uint8]:
    """The key pose image that a ControlNet is given, [H, W, 3]."""
    line = max(1, round(min(width_px, height_px) / _SIDE_PER_LINE_PX))
    return draw_pose(people, width_px=width_px, height_px=height_px, line_px=line)


def new_controlnet(pipeline: BasePipeline) -> Any:
    """The copy of the base's U-Net, in float32, as training begins."""
    downs = round(np.log2(int(pipeline.vae_scale_factor)))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net: Any = ControlNetModel.from_unet(
            pipeline.unet, conditioning_embedding_out_channels=_WIDTHS[: downs + 1]
        )
    return net.float().to(pipeline.device)


class ControlNetMethod:
    """A ControlNet beside one pipeline's frozen U-Net, as the training loop wants a method."""

    name = NAME

    def __init__(self, pipeline: BasePipeline) -> None:
        self._unet: Any = pipeline.unet
        self.net = new_controlnet(pipeline).train().requires_grad_(requires_grad=True)

    def named_parameters(self) -> Sequence[tuple[str, nn.Parameter]]:
        """The ControlNet's."""
        return list(self.net.named_parameters())

    @contextmanager
    def around(self, batch: Batch) -> Generator[None]:
        """Every call of the U-Net in it is given what the ControlNet sees in the poses."""
        poses = _pose_batch(batch).to(self._unet.device)

        def enter(module: nn.Module, args: Any, kwargs: Any) -> Any:
            down, middle = self.net(
                args[0], args[1], controlnet_cond=poses, return_dict=False,
                **{name: kwargs[name] for name in ("encoder_hidden_states", "added_cond_kwargs")},
            )  # fmt: skip
            given = {"down_block_additional_residuals": down,
                     "mid_block_additional_residual": middle}  # fmt: skip
            return args, {**kwargs, **given}

        hook = self._unet.register_forward_pre_hook(enter, with_kwargs=True)
        try:
            yield
        finally:
            hook.remove()

    def pixel_weight(self, batch: Batch, size: tuple[int, int]) -> Tensor | None:
        """All pixels count alike."""
        return None

    def extra(self, batch: Batch, timesteps: Tensor, size: tuple[int, int]) -> Terms:
        """The denoising loss alone."""
        return no_terms(torch.device(self._unet.device))

    @contextmanager
    def drawing(self, pipeline: BasePipeline) -> Generator[None]:
        """The base alone: a plain pipeline has no pose to give."""
        yield

    def save(self, uri: str, facts: Facts) -> tuple[str, ...]:
        """The weights, and a card of a few words."""
        state = {name: value.cpu().contiguous() for name, value in self.net.state_dict().items()}
        card = {"method": NAME, "step": facts.step, "dataset_version": facts.dataset_version}
        write_atomic(join(uri, FILE), save(state))
        write_atomic(join(uri, CARD), json.dumps(card).encode())
        return FILE, CARD

    def start_from(self, uri: str, *, any_base: bool = False) -> None:
        """Not from another checkpoint."""
        raise CheckpointError(f"init_from {uri}: a ControlNet begins with its base's weights")

    def check(self, uri: str) -> None:
        """It has no settings."""

    def close(self) -> None:
        """Nothing stays in the U-Net."""


class ControlNetTrainer(Trainer):
    """The product's loop with a ControlNet in it."""

    def new_method(self) -> Method:
        """A ControlNet, whatever the settings name."""
        return ControlNetMethod(self.pipeline)


def train_controlnet(job: TrainJob, place: Place, tell: Any) -> RunEnd:
    """As ``hcp.training.worker.train_worker`` does it, on one worker."""
    folder, inputs = CheckpointFolder(job.run, keep=job.keep_checkpoints), find_inputs(job, place)
    dtype = base_dtype(job.config.precision, place.device)
    base = load_base(job.base, device=place.device, dtype=dtype, without=inputs.without)
    trainer = ControlNetTrainer(base, job.config, dataset_version=job.version)
    resume(trainer, folder)

    def on_metrics(metrics: StepMetrics) -> None:
        tell("step", metrics)

    for metrics in trainer.recent:
        tell("past", metrics)
    counts = [count.train for version in inputs.versions for count in version.counts]
    around = Surroundings(
        folder=folder, n_shards=len(counts), n_samples=sum(counts), on_metrics=on_metrics
    )
    return run_training(trainer, ahead(open_batches(trainer, inputs)), around)


def posed_pipeline(pipeline: BasePipeline, checkpoint: str) -> Any:
    """The base's pipeline with a trained ControlNet: ``image=`` takes the key pose images."""
    net = new_controlnet(pipeline)
    net.load_state_dict(load(read_bytes(join(checkpoint, FILE))))
    net.to(pipeline.unet.dtype).eval()
    is_xl = isinstance(pipeline, StableDiffusionXLPipeline)
    build: Any = StableDiffusionXLControlNetPipeline if is_xl else StableDiffusionControlNetPipeline
    names = ("vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "unet",
             "scheduler")  # fmt: skip
    parts = {name: each for name, each in pipeline.components.items() if name in names}
    if not is_xl:
        parts |= {"safety_checker": None, "feature_extractor": None,
                  "requires_safety_checker": False}  # fmt: skip
    posed = build(**parts, controlnet=net)
    posed.set_progress_bar_config(disable=True)
    return posed


def _pose_batch(batch: Batch) -> Tensor:
    """Key pose images of a batch, float [B, 3, H, W] in [0, 1]."""
    height, width = batch.masks.shape[-2:]
    drawn = [
        pose_picture(keypoints.tolist(), width_px=width, height_px=height)
        for keypoints in batch.keypoints
    ]
    return torch.from_numpy(np.stack(drawn)).permute(0, 3, 1, 2).float() / 255
