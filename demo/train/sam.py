"""Trains the embedded Segment Anything on drawn people: ``python -m demo.train.sam --minutes 35``.

Prompts are those of production, jittered boxes with up to five keypoints as positive points, and
points alone. Most of the way pictures are small, with the position tables interpolated for them.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from demo.embedded import SAM_DIR
from demo.train.command import WORK, Budget, Recipe, Run, read_command
from demo.train.loop import train
from demo.train.sam_objective import mask_loss, predict
from demo.train.sam_prompts import make_batch
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
RECIPE = Recipe(batch_size=16, betas=(0.9, 0.98))  # pictures of SMALL_PX; of larger ones fewer
SMALL_PX, SMALL_UNTIL = 128, 0.7
"""Side of the input up to this progress."""
POINTS_ONLY = 0.15
"""Share of prompts without a box."""


class SamTraining:
    """Prompts on drawn people, the loss of their masks, the weights in half precision."""

    def __init__(self, recipe: Recipe, work: Path) -> None:
        self._work = work
        self._scenes = stored_scenes(training_seeds(recipe.scenes), folder=work)
        self._peopled = np.unique(self._scenes.scene_of)
        torch.manual_seed(recipe.seed)
        self.module = build_sam(SIZES).train()
        self.module.prompt_encoder.mask_downscaling.requires_grad_(False)  # no mask prompts

    def loss(
        self, rng: np.random.Generator, *, size: int, progress: float
    ) -> tuple[Tensor, dict[str, float]]:
        """The loss of all prompts, and the IoU at the decoder's resolution."""
        size_px = SMALL_PX if progress < SMALL_UNTIL else SIZES.image_size
        indexes = rng.choice(self._peopled, size=max(1, size * SMALL_PX**2 // size_px**2)).tolist()
        batch = make_batch(self._scenes, indexes, size_px=size_px, points_only=POINTS_ONLY, rng=rng)
        return mask_loss(*predict(self.module, batch), batch.targets)

    def export(self, module: nn.Module, folder: Path) -> None:
        """Half precision, in the format of ``priors.sam``."""
        sam = build_sam(SIZES)
        sam.load_state_dict(module.state_dict())
        save_sam(sam.half(), folder, config=SIZES)

    def score(self, folder: Path, n_scenes: int) -> dict[str, float]:
        """Mean IoU of box prompts on held-out people, through the production wrapper."""
        scenes = stored_scenes(held_out_seeds(n_scenes), folder=self._work)
        return {"held_out_box_iou": box_prompt_iou(folder, scenes)}


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


def main(argv: Sequence[str] | None = None) -> None:
    """Command line."""
    run = Run(name="sam", budget=Budget(minutes=35.0), work=WORK, out=SAM_DIR)
    recipe, run = read_command(argv, recipe=RECIPE, run=run, about=__doc__)
    training = run.team.first(lambda: SamTraining(recipe, run.work / "scenes"))
    train(training, recipe, run)


if __name__ == "__main__":
    main()
