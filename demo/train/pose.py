"""Trains the embedded YOLO-pose on drawn people: ``python -m demo.train.pose --minutes 25``.

The network is our own layout of ultralytics' building blocks, trained from scratch by ultralytics'
pose loss. Its first layer halves the picture, so that it sees what a generator of 128 px made of a
picture blown up to 256 px; training feeds it the halved pictures.
B batch, P people of the batch, S side of the square input in px.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import yaml
from torch import Tensor, nn

from demo.embedded import POSE_DIR
from demo.train.command import WORK, Budget, Recipe, Run, read_command
from demo.train.loop import Loss, train
from demo.train.scoring import oks_average_precision
from demo.world.augment import degrade, random_view
from demo.world.scene_store import (
    SIZE_PX,
    DrawnScenes,
    held_out_seeds,
    stored_scenes,
    training_seeds,
)
from priors.config import ModelConfig
from priors.models import load_pose
from priors.yolo import CONFIG_FILE, import_ultralytics, save_yolo
from storage.records import COCO_FLIP

RECIPE = Recipe(peak_learning_rate=2e-3, second_beta=0.999, max_norm=10.0)
TRAIN_PX = SIZE_PX // 2
LAYOUT = POSE_DIR / CONFIG_FILE
EARLY_SIGMA, LATE_SIGMA = 4.0, 0.6
"""Factors on COCO's tolerances: far-off points get a gradient first, fine ones at the end."""


def build_network(seed: int, layout: Path = LAYOUT) -> Any:
    """The untrained network, float32, with ultralytics' default loss gains.

    Its layout stands beside the committed weights; strides are 32 and 64 only, as the smallest
    drawn person is 100 px high.
    """
    import_ultralytics()
    from ultralytics.cfg import get_cfg
    from ultralytics.nn.tasks import PoseModel

    torch.manual_seed(seed)
    model: Any = PoseModel(yaml.safe_load(layout.read_text()), ch=3, nc=1, verbose=False)
    model.args = get_cfg()
    model.names = {0: "person"}
    return model


def make_batch(
    scenes: DrawnScenes, indexes: np.ndarray, *, size_px: int, rng: np.random.Generator
) -> dict[str, Tensor]:
    """Augmented scenes in the form of ultralytics' losses.

    Returns:
        ``img`` [B, 3, S, S] in [0, 1]; ``bboxes`` [P, 4] xywh and ``keypoints`` [P, 17, 3] in
        shares of the side; ``batch_idx`` [P]; ``cls`` [P, 1].
    """
    images: list[np.ndarray] = []
    boxes: list[np.ndarray] = []
    keypoints: list[np.ndarray] = []
    owners: list[int] = []
    for row, scene in enumerate(indexes):
        view = random_view(rng, SIZE_PX, size_px=size_px)
        image = degrade(view.apply(scenes.images[scene]), rng)
        x0, y0, x1, y1 = _erase(image, scenes, rng)
        for person in scenes.people_of(int(scene)):
            points = scenes.keypoints[person].copy()
            points[:, :2] = view.points(points[:, :2])
            points = points[list(COCO_FLIP)] if view.mirror else points
            corners = view.points(scenes.boxes[person].reshape(2, 2))
            low, high = corners.min(axis=0).clip(0, size_px), corners.max(axis=0).clip(0, size_px)
            whole = np.prod(np.abs(corners[1] - corners[0]))
            if np.prod(high - low) < 0.3 * whole:
                continue
            inside = ((points[:, :2] >= 0) & (points[:, :2] < size_px)).all(axis=1)
            covered = ((points[:, :2] >= (x0, y0)) & (points[:, :2] < (x1, y1))).all(axis=1)
            points[~inside | covered] = 0.0
            boxes.append(np.concatenate([(low + high) / 2, high - low]) / size_px)
            keypoints.append(points / (size_px, size_px, 1.0))
            owners.append(row)
        images.append(image)
    people = len(owners)
    return {
        "img": torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float().div(255),
        "batch_idx": torch.tensor(owners, dtype=torch.float32),
        "cls": torch.zeros(people, 1),
        "bboxes": torch.from_numpy(np.asarray(boxes, dtype=np.float32).reshape(people, 4)),
        "keypoints": torch.from_numpy(
            np.asarray(keypoints, dtype=np.float32).reshape(people, 17, 3)
        ),
    }


def _erase(
    image: np.ndarray, scenes: DrawnScenes, rng: np.random.Generator
) -> tuple[int, int, int, int]:
    """Cover a rectangle of ``image``, x0, y0, x1, y1, by another scene's pixels.

    In a picture by a generator limbs go missing: without this every keypoint of a found person
    would be certain.
    """
    if rng.random() > 0.25:
        return 0, 0, 0, 0
    side = image.shape[0]
    width, height = rng.integers(side // 8, side // 3, size=2)
    left, top = int(rng.integers(0, side - width)), int(rng.integers(0, side - height))
    other = scenes.images[rng.integers(len(scenes.images))]
    image[top : top + height, left : left + width] = other[:height, :width]
    return left, top, left + int(width), top + int(height)


class PoseTraining:
    """Drawn people at half size, ultralytics' loss, its weights in half precision."""

    def __init__(
        self,
        recipe: Recipe,
        work: Path,
        *,
        layout: Path = LAYOUT,
        scenes: DrawnScenes | None = None,
    ) -> None:
        """``scenes`` replaces the first ones of the training range."""
        self._recipe, self._work, self._layout = recipe, work, layout
        if scenes is None:
            scenes = stored_scenes(training_seeds(recipe.scenes), folder=work)
        self._scenes = scenes
        network = build_network(recipe.seed, layout)
        self.module: Any = network.to(memory_format=torch.channels_last).train()
        # The pictures come halved: the pooling of the layout must not halve them again. The
        # strides, and with them the losses, stay those of the whole network in 256 px pictures.
        pooling, unpooled = self.module.model[0], cast(Any, nn.Identity())
        unpooled.f, unpooled.i = pooling.f, pooling.i  # where the layout takes its input from
        self.module.model[0] = unpooled
        self._criterion: Any = self.module.init_criterion()
        self._sigmas: Tensor = self._criterion.keypoint_loss.sigmas.clone()

    def loss(self, rng: np.random.Generator, *, size: int, progress: float) -> Loss:
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
        exported = build_network(self._recipe.seed, self._layout)
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
