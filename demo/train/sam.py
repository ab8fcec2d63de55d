"""Trains the embedded Segment Anything on drawn people: ``python -m demo.train.sam --minutes 35``.

Prompts are those of production, jittered boxes with up to five keypoints as positive points, and
points alone. Half of the way the same network runs at a smaller image size, with its position
tables interpolated at the change.
"""

import logging
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from demo.train.command import run_training
from demo.train.sam_objective import mask_loss, predict
from demo.train.sam_prompts import PromptBatch, make_batch
from demo.train.schedule import Budget, Stopwatch, learning_rate
from demo.train.scoring import mask_iou
from demo.world.scene_store import DrawnScenes, held_out_seeds, stored_scenes, training_seeds
from priors.config import ModelConfig
from priors.models import load_masks
from priors.sam import SamConfig, build_sam, save_sam
from storage.records import Person

SIZES = SamConfig(
    image_size=192,
    encoder_embed_dim=112,
    encoder_depth=4,
    encoder_num_heads=4,
    encoder_global_attn_indexes=(2,),
    window_size=8,
    vit_patch_size=8,
    prompt_embed_dim=96,
    decoder_mlp_dim=192,
    decoder_num_heads=4,
)
"""Masks of 96 px: blown up to 256 px they could reach an IoU of 0.985 with the drawn people."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SamTraining:
    """Everything that decides the weights, besides the renderer."""

    seed: int = 1
    scenes: int = 8000  # drawn scenes of the training range; those without people are passed over
    batch_pixels: int = 16 * 128 * 128  # images a step times their pixels
    peak_learning_rate: float = 1e-3
    weight_decay: float = 0.02
    ema_decay: float = 0.998
    small_px: int = 128  # image size at the start
    small_until: float = 0.7  # progress up to which images are small
    points_only: float = 0.15  # share of prompts without a box


def resized_state(state: dict[str, Tensor], template: dict[str, Tensor]) -> dict[str, Tensor]:
    """A Sam's weights for another image size: its position tables are interpolated."""
    fitted: dict[str, Tensor] = {}
    for name, value in state.items():
        shape = template[name].shape
        if value.shape == shape:
            fitted[name] = value.clone()
        elif name.endswith("pos_embed"):  # [1, H, W, C]
            grid = value.permute(0, 3, 1, 2)
            grid = functional.interpolate(grid, size=(shape[1], shape[2]), mode="bicubic")
            fitted[name] = grid.permute(0, 2, 3, 1).contiguous()
        else:  # rel_pos_h, rel_pos_w of global attention, [2 H - 1, d]
            row = functional.interpolate(value.T[None], size=shape[0], mode="linear")
            fitted[name] = row[0].T.contiguous()
    return fitted


class SamTrainer:
    """Network, optimizer and moving average; ``step`` is one update."""

    def __init__(self, config: SamTraining) -> None:
        self.config = config
        self.steps = 0
        torch.manual_seed(config.seed)
        self._build(config.small_px)
        self.average = {name: value.clone() for name, value in self.sam.state_dict().items()}

    def _build(self, image_size: int) -> None:
        self.sizes = replace(SIZES, image_size=image_size)
        self.sam = build_sam(self.sizes).train()
        self._built_at = self.steps
        trained = [p for n, p in self.sam.named_parameters() if "mask_downscaling" not in n]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": [p for p in trained if p.ndim > 1]},
                {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
            ],
            lr=self.config.peak_learning_rate,
            weight_decay=self.config.weight_decay,
            betas=(0.9, 0.98),
        )

    def grow(self, image_size: int) -> None:
        """Go on at another image size; the optimizer starts anew, with a short warm-up."""
        state = self.sam.state_dict()
        self._build(image_size)
        template = self.sam.state_dict()
        self.sam.load_state_dict(resized_state(state, template))
        self.average = resized_state(self.average, template)

    def step(self, batch: PromptBatch, *, progress: float) -> dict[str, float]:
        """One update; the loss terms and the IoU at the decoder's resolution."""
        rate = learning_rate(progress, peak=self.config.peak_learning_rate)
        rate *= min(1.0, (1 + self.steps - self._built_at) / 40)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss, parts = mask_loss(*predict(self.sam, batch), batch.targets)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.sam.parameters(), 1.0)
        self.optimizer.step()
        self.steps += 1
        decay = min(self.config.ema_decay, (1 + self.steps) / (10 + self.steps))
        for name, value in self.sam.state_dict().items():
            self.average[name].lerp_(value, 1.0 - decay)
        return parts

    def save(self, path: Path, *, elapsed_s: float) -> None:
        """Everything that ``resume`` needs, at once or not at all."""
        state = {
            "image_size": self.sizes.image_size,
            "sam": self.sam.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average,
            "steps": self.steps,
            "built_at": self._built_at,
            "elapsed_s": elapsed_s,
        }
        partial = path.with_suffix(".part")
        torch.save(state, partial)
        partial.replace(path)

    def resume(self, path: Path) -> float:
        """Go on from a file of ``save``; the seconds trained so far."""
        state = torch.load(path, weights_only=True)
        self._build(state["image_size"])
        self.sam.load_state_dict(state["sam"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average = state["average"]
        self.steps, self._built_at = state["steps"], state["built_at"]
        return float(state["elapsed_s"])

    def export(self, directory: Path) -> None:
        """The averaged weights in half precision, in the format of ``priors.sam``."""
        sam = build_sam(self.sizes)
        sam.load_state_dict(self.average)
        save_sam(sam.half(), directory, config=self.sizes)


def train(
    config: SamTraining, budget: Budget, *, work: Path, out: Path, threads: int = 1
) -> dict[str, Any]:
    """Train, export every few minutes and at the end, and return the record of the run."""
    torch.set_num_threads(threads)
    scenes = stored_scenes(training_seeds(config.scenes), folder=work / "scenes")
    peopled = np.unique(scenes.scene_of)
    trainer = SamTrainer(config)
    checkpoint = work / f"sam-{config.seed}.pt"
    before_s = trainer.resume(checkpoint) if checkpoint.is_file() else 0.0
    stopwatch = Stopwatch(before_s, time.process_time)
    saved_s = logged_s = stopwatch.elapsed_s
    while (progress := budget.progress(trainer.steps, stopwatch.elapsed_s)) < 1.0:
        size_px = config.small_px if progress < config.small_until else SIZES.image_size
        if size_px > trainer.sizes.image_size:
            trainer.grow(size_px)
        rng = np.random.default_rng([config.seed, trainer.steps])
        indexes = rng.choice(peopled, size=config.batch_pixels // size_px**2).tolist()
        batch = make_batch(
            scenes, indexes, size_px=size_px, points_only=config.points_only, rng=rng
        )
        parts = trainer.step(batch, progress=progress)
        if stopwatch.elapsed_s - logged_s > 20:
            logged_s = stopwatch.elapsed_s
            _log.info("step %d, %.3f done, %d px: %s", trainer.steps, progress, size_px, parts)
        if stopwatch.elapsed_s - saved_s > 120:
            saved_s = stopwatch.elapsed_s
            trainer.save(checkpoint, elapsed_s=saved_s)
            trainer.export(work / "sam")
            _log.info("held-out IoU %.3f", score(work / "sam", n_scenes=60, folder=work / "scenes"))
    trainer.save(checkpoint, elapsed_s=stopwatch.elapsed_s)
    trainer.export(out)
    return {
        **asdict(config),
        **budget.record(trainer.steps, stopwatch.elapsed_s),
        "held_out_box_iou": round(score(out, n_scenes=200, folder=work / "scenes"), 4),
    }


def score(weights: Path, *, n_scenes: int, folder: Path) -> float:
    """Mean IoU of box prompts on held-out people, through the production wrapper."""
    scenes = stored_scenes(held_out_seeds(n_scenes), folder=folder)
    return box_prompt_iou(weights, scenes)


def box_prompt_iou(weights: Path, scenes: DrawnScenes) -> float:
    """Mean IoU over all people, each prompted by the true box and nothing else."""
    hidden = ((0.0, 0.0, 0.0),) * 17
    rows = [scenes.people_of(index) for index in range(len(scenes.images))]
    people = [
        [
            Person(
                bbox_xyxy_px=tuple(float(v) for v in scenes.boxes[person]),  # pyright: ignore[reportArgumentType]  # four numbers
                score=1.0,
                keypoints=hidden,
            )
            for person in row
        ]
        for row in rows
    ]
    masks = load_masks(ModelConfig(weights=str(weights)), device="cpu")
    found = masks(list(scenes.images), people)
    ious = [
        mask_iou(result.masks[i], scenes.mask(person))
        for result, row in zip(found, rows, strict=True)
        for i, person in enumerate(row)
    ]
    return float(np.mean(ious))


def main() -> None:
    """Command line."""
    run_training(train, SamTraining, kind="sam", minutes=35.0, about=__doc__)


if __name__ == "__main__":
    main()
