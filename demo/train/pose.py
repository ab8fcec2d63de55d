"""Trains the embedded YOLO-pose on drawn people: ``python -m demo.train.pose --minutes 25``.

The network is our own layout of ultralytics' building blocks, trained from scratch by ultralytics'
pose loss. Its first layer halves the picture, so that it sees what a generator of 128 px made of a
picture blown up to 256 px; training feeds it the halved pictures.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from demo.embedded import POSE_DIR
from demo.train.command import WORK, Budget, Recipe, Run, read_command
from demo.train.loop import train
from demo.train.pose_batches import make_batch
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
RECIPE = Recipe(peak_learning_rate=2e-3, betas=(0.9, 0.999), max_norm=10.0)
TRAIN_PX = SIZE_PX // 2
EARLY_SIGMA, LATE_SIGMA = 4.0, 0.6
"""Factors on COCO's tolerances: far-off points get a gradient first, fine ones at the end."""


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


class PoseTraining:
    """Drawn people at half size, ultralytics' loss, its weights in half precision."""

    def __init__(self, recipe: Recipe, work: Path) -> None:
        self._recipe, self._work = recipe, work
        self._scenes = stored_scenes(training_seeds(recipe.scenes), folder=work)
        self.module: Any = build_network(recipe.seed).to(memory_format=torch.channels_last).train()
        # The pictures come halved: the pooling of the layout must not halve them again. The
        # strides, and with them the losses, stay those of the whole network in 256 px pictures.
        pooling, unpooled = self.module.model[0], cast(Any, nn.Identity())
        unpooled.f, unpooled.i = pooling.f, pooling.i  # where the layout takes its input from
        self.module.model[0] = unpooled
        self._criterion: Any = self.module.init_criterion()
        self._sigmas: Tensor = self._criterion.keypoint_loss.sigmas.clone()

    def loss(
        self, rng: np.random.Generator, *, size: int, progress: float
    ) -> tuple[Tensor, dict[str, float]]:
        """Ultralytics' loss per picture, and its terms."""
        share = min(1.0, progress / 0.8)
        factor = EARLY_SIGMA * (LATE_SIGMA / EARLY_SIGMA) ** share
        self._criterion.keypoint_loss.sigmas = self._sigmas * factor
        indexes = rng.integers(len(self._scenes.images), size=size)
        batch = make_batch(self._scenes, indexes, size_px=TRAIN_PX, rng=rng)
        pixels = batch["img"].contiguous(memory_format=torch.channels_last)
        losses, parts = self._criterion(self.module(pixels), batch)
        return losses.sum() / size, {name: float(value) for name, value in parts.items()}

    def export(self, module: nn.Module, folder: Path) -> None:
        """Half precision, in the format of ``priors.pose``."""
        exported = build_network(self._recipe.seed)
        exported.load_state_dict(module.state_dict())
        save_yolo(exported.half(), folder)

    def score(self, folder: Path, n_scenes: int) -> dict[str, float]:
        """OKS AP on held-out scenes, through the production wrapper."""
        scenes = stored_scenes(held_out_seeds(n_scenes), folder=self._work)
        model = load_pose(ModelConfig(weights=str(folder), imgsz=SIZE_PX), device="cpu")
        return {"held_out_oks_ap": oks_average_precision(scenes, model(list(scenes.images)))}


def main(argv: Sequence[str] | None = None) -> None:
    """Command line."""
    run = Run(name="pose", budget=Budget(minutes=25.0), work=WORK, out=POSE_DIR)
    recipe, run = read_command(argv, recipe=RECIPE, run=run, about=__doc__)
    training = run.team.first(lambda: PoseTraining(recipe, run.work / "scenes"))
    train(training, recipe, run)


if __name__ == "__main__":
    main()
