"""Trains the embedded YOLO-pose on drawn people: ``python -m demo.train.pose --minutes 25``.

The network is our own layout of ultralytics' building blocks, trained from scratch by ultralytics'
pose loss in a plain loop. Its first layer halves the picture, so that it sees what a generator of
128 px made of a picture blown up to 256 px; training feeds it the halved pictures.
B batch, P people of the batch, S side of the square input in px.
"""

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from demo.train.command import run_training
from demo.train.pose_batches import make_batch
from demo.train.schedule import Budget, Stopwatch, learning_rate
from demo.train.scoring import oks_average_precision
from demo.world.scene_store import SIZE_PX, held_out_seeds, stored_scenes, training_seeds
from priors.config import ModelConfig
from priors.models import load_pose
from priors.yolo import import_ultralytics, save_yolo

LAYOUT: dict[str, Any] = {
    "nc": 1,
    "names": {0: "person"},
    "kpt_shape": [17, 3],
    "reg_max": 8,
    "backbone": [
        [-1, 1, "nn.AvgPool2d", [2]],
        [-1, 1, "Conv", [32, 5, 4]],
        [-1, 1, "Conv", [64, 3, 2]],
        [-1, 1, "C2f", [64, True]],
        [-1, 1, "Conv", [96, 3, 2]],
        [-1, 2, "C2f", [96, True]],
        [-1, 1, "Conv", [128, 3, 2]],
        [-1, 2, "C2f", [128, True]],
        [-1, 1, "SPPF", [128, 5]],
    ],
    "head": [
        [-1, 1, "nn.Upsample", [None, 2, "nearest"]],
        [[-1, 5], 1, "Concat", [1]],
        [-1, 1, "C2f", [96, True]],
        [-1, 1, "Conv", [96, 3, 2]],
        [[-1, 8], 1, "Concat", [1]],
        [-1, 1, "C2f", [128]],
        [[11, 14], 1, "Pose", ["nc", "kpt_shape"]],
    ],
}
"""Strides 32 and 64 only: the smallest drawn person is 100 px high."""
TRAIN_PX = SIZE_PX // 2

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoseTraining:
    """Everything that decides the weights, besides the renderer."""

    seed: int = 1
    scenes: int = 8000  # drawn scenes of the training range
    batch_size: int = 32
    peak_learning_rate: float = 2e-3
    weight_decay: float = 0.02
    ema_decay: float = 0.998
    early_sigma: float = 4.0  # factor on the OKS sigmas at the start: far-off points get a gradient
    late_sigma: float = 0.6  # the same at the end: finer than COCO's tolerance


def build_network(seed: int) -> Any:
    """The untrained network, float32, with ultralytics' default loss gains."""
    import_ultralytics()
    from ultralytics.cfg import get_cfg
    from ultralytics.nn.tasks import PoseModel

    torch.manual_seed(seed)
    layout = json.loads(json.dumps(LAYOUT))  # the parser edits what it is given
    model: Any = PoseModel(layout, ch=3, nc=1, verbose=False)
    model.args = get_cfg()
    model.names = {0: "person"}
    return model


class PoseTrainer:
    """Network, optimizer and moving average; ``step`` is one update."""

    def __init__(self, config: PoseTraining) -> None:
        self.config = config
        self.model: Any = build_network(config.seed).to(memory_format=torch.channels_last)
        self.model.train()
        # The pictures come halved: the pooling of the layout must not halve them again. The
        # strides, and with them the losses, stay those of the whole network in 256 px pictures.
        pooling = self.model.model[0]
        unpooled: Any = torch.nn.Identity()
        unpooled.f, unpooled.i = pooling.f, pooling.i  # where the layout takes its input from
        self.model.model[0] = unpooled
        self._criterion: Any = self.model.init_criterion()
        self._sigmas: Tensor = self._criterion.keypoint_loss.sigmas.clone()
        decayed = [p for p in self.model.parameters() if p.ndim > 1]
        free = [p for p in self.model.parameters() if p.ndim <= 1]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": decayed, "weight_decay": config.weight_decay},
                {"params": free, "weight_decay": 0.0},
            ],
            lr=config.peak_learning_rate,
        )
        self.average: dict[str, Tensor] = {
            name: value.clone() for name, value in self.model.state_dict().items()
        }
        self.steps = 0

    def step(self, batch: Mapping[str, Tensor], *, progress: float) -> dict[str, float]:
        """One update; the loss terms, per image."""
        config = self.config
        share = min(1.0, progress / 0.8)
        factor = config.early_sigma * (config.late_sigma / config.early_sigma) ** share
        self._criterion.keypoint_loss.sigmas = self._sigmas * factor
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(progress, peak=config.peak_learning_rate)
        pixels = batch["img"].contiguous(memory_format=torch.channels_last)
        losses, parts = self._criterion(self.model(pixels), dict(batch))
        self.optimizer.zero_grad(set_to_none=True)
        (losses.sum() / len(pixels)).backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 10.0)
        self.optimizer.step()
        self.steps += 1
        self._update_average()
        return {name: float(value) for name, value in parts.items()}

    def _update_average(self) -> None:
        decay = min(self.config.ema_decay, (1 + self.steps) / (10 + self.steps))
        for name, value in self.model.state_dict().items():
            kept = self.average[name]
            if value.dtype.is_floating_point:
                kept.lerp_(value, 1.0 - decay)
            else:
                kept.copy_(value)

    def save(self, path: Path, *, elapsed_s: float) -> None:
        """Everything that ``resume`` needs, at once or not at all."""
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average,
            "steps": self.steps,
            "elapsed_s": elapsed_s,
        }
        partial = path.with_suffix(".part")
        torch.save(state, partial)
        partial.replace(path)

    def resume(self, path: Path) -> float:
        """Go on from a file of ``save``; the seconds trained so far."""
        state = torch.load(path, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average = state["average"]
        self.steps = state["steps"]
        return float(state["elapsed_s"])

    def export(self, directory: Path) -> None:
        """The averaged weights in half precision, in the format of ``priors.pose``."""
        exported = build_network(self.config.seed)
        exported.load_state_dict(self.average)
        save_yolo(exported.half(), directory)


def train(
    config: PoseTraining, budget: Budget, *, work: Path, out: Path, threads: int = 1
) -> dict[str, Any]:
    """Train, export every few minutes and at the end, and return the record of the run."""
    torch.set_num_threads(threads)
    scenes = stored_scenes(training_seeds(config.scenes), folder=work / "scenes")
    trainer = PoseTrainer(config)
    checkpoint = work / f"pose-{config.seed}.pt"
    before_s = trainer.resume(checkpoint) if checkpoint.is_file() else 0.0
    stopwatch = Stopwatch(before_s, time.process_time)
    saved_s = logged_s = stopwatch.elapsed_s
    while (progress := budget.progress(trainer.steps, stopwatch.elapsed_s)) < 1.0:
        rng = np.random.default_rng([config.seed, trainer.steps])
        indexes = rng.integers(config.scenes, size=config.batch_size)
        batch = make_batch(scenes, indexes, size_px=TRAIN_PX, rng=rng)
        parts = trainer.step(batch, progress=progress)
        if stopwatch.elapsed_s - logged_s > 20:
            logged_s = stopwatch.elapsed_s
            _log.info("step %d, %.3f done: %s", trainer.steps, progress, parts)
        if stopwatch.elapsed_s - saved_s > 180:
            saved_s = stopwatch.elapsed_s
            trainer.save(checkpoint, elapsed_s=saved_s)
            trainer.export(work / "pose")
            _log.info("held-out AP %.3f", score(work / "pose", n_scenes=60, folder=work / "scenes"))
    trainer.save(checkpoint, elapsed_s=stopwatch.elapsed_s)
    trainer.export(out)
    return {
        **asdict(config),
        **budget.record(trainer.steps, stopwatch.elapsed_s),
        "held_out_oks_ap": round(score(out, n_scenes=200, folder=work / "scenes"), 4),
    }


def score(weights: Path, *, n_scenes: int, folder: Path) -> float:
    """OKS AP of exported weights on held-out scenes, through the production wrapper."""
    scenes = stored_scenes(held_out_seeds(n_scenes), folder=folder)
    model = load_pose(ModelConfig(weights=str(weights), imgsz=SIZE_PX), device="cpu")
    return oks_average_precision(scenes, model(list(scenes.images)))


def main() -> None:
    """Command line."""
    run_training(train, PoseTraining, kind="pose", minutes=25.0, about=__doc__)


if __name__ == "__main__":
    main()
