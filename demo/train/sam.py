"""Trains the embedded Segment Anything on drawn people: ``python -m demo.train.sam --minutes 35``.

Prompts are those of production, jittered boxes with up to five keypoints as positive points, and
points alone. Most of the way pictures are small, with the position tables interpolated for them.
B images, P prompts, K point slots, R side of the decoder's masks in px, S side of the input in px.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from segment_anything.modeling import Sam
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from demo.embedded import SAM_DIR
from demo.train.command import WORK, Budget, Recipe, Run, read_command
from demo.train.loop import Loss, train
from demo.train.sam_prompts import PromptBatch, make_batch
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
RECIPE = Recipe(batch_size=16, second_beta=0.98)  # pictures of SMALL_PX; of larger ones fewer
SMALL_PX, SMALL_UNTIL = 128, 0.7
"""Side of the input up to this progress."""
POINTS_ONLY = 0.15
"""Share of prompts without a box."""


def predict(sam: Sam, batch: PromptBatch) -> tuple[Tensor, Tensor]:
    """Logits [P, 4, R, R] and predicted IoU [P, 4] of all four mask tokens.

    ``Sam.forward`` takes one image at a time and no gradient; this is its decoder over the prompts
    of many images at once, which may be smaller than the Sam's own. Token 0 is the answer without
    ``multimask_output``.
    """
    encoder, decoder = sam.prompt_encoder, sam.mask_decoder
    embeddings = _embeddings(sam, batch.images)
    to_own = sam.image_encoder.img_size / batch.images.shape[-1]
    points, boxes = batch.points * to_own, batch.boxes * to_own
    boxed, slots = len(batch.boxes), batch.points.shape[1] - 1
    # a box takes two tokens where points alone get one "not a point": both make K + 2
    with_box: Any = encoder(
        points=(points[:boxed, :slots], batch.labels[:boxed, :slots]) if slots else None,
        boxes=boxes,
        masks=None,
    )
    sparse = with_box[0]
    if boxed < len(points):
        alone: Any = encoder(points=(points[boxed:], batch.labels[boxed:]), boxes=None, masks=None)
        sparse = torch.cat([sparse, alone[0]])
    own = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
    tokens = torch.cat([own.expand(len(sparse), -1, -1), sparse], dim=1)
    dense = encoder.no_mask_embed.weight.reshape(1, -1, 1, 1)
    source = embeddings[batch.image_of] + dense
    prompts, channels, height, width = source.shape
    places = encoder.pe_layer((height, width)).expand(prompts, -1, -1, -1)
    hidden, source = decoder.transformer(source, places, tokens)
    upscaled = decoder.output_upscaling(
        source.transpose(1, 2).reshape(prompts, channels, height, width)
    )
    weights = torch.stack(
        [mlp(hidden[:, 1 + i]) for i, mlp in enumerate(decoder.output_hypernetworks_mlps)], dim=1
    )
    logits = torch.einsum("pmc,pchw->pmhw", weights, upscaled)
    return logits, decoder.iou_prediction_head(hidden[:, 0])


def _embeddings(sam: Sam, images: Tensor) -> Tensor:
    """The image encoder's output at the images' size, its absolute positions interpolated.

    Its relative positions interpolate themselves.
    """
    mean: Any = sam.pixel_mean
    std: Any = sam.pixel_std
    encoder: Any = sam.image_encoder
    side = images.shape[-1] // encoder.patch_embed.proj.stride[0]
    grid = encoder.pos_embed.permute(0, 3, 1, 2)  # [1, H, W, C]
    if grid.shape[-1] != side:
        grid = functional.interpolate(grid, size=(side, side), mode="bicubic")
    places = {"pos_embed": grid.permute(0, 2, 3, 1)}
    return functional_call(encoder, places, ((images - mean) / std,))


def mask_loss(logits: Tensor, iou: Tensor, targets: Tensor) -> tuple[Tensor, dict[str, float]]:
    """Dice + binary cross-entropy of the masks, and squared error of the predicted IoU.

    Token 0 learns from every prompt; of the other three only the best of each prompt does
    (segment_anything's own rule for ``multimask_output``).

    Args:
        logits: [P, 4, R, R]; iou: [P, 4]; targets: [P, R, R] in [0, 1].
    """
    wanted = targets[:, None].expand_as(logits)
    entropy = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    probability = logits.sigmoid()
    overlap = (probability * wanted).sum((2, 3))
    total = probability.sum((2, 3)) + wanted.sum((2, 3))
    each = 5.0 * entropy.mean((2, 3)) + 1.0 - (2.0 * overlap + 1.0) / (total + 1.0)
    with torch.no_grad():
        found, truth = logits > 0, wanted > 0.5
        union = (found | truth).sum((2, 3)).clamp(min=1)
        actual = (found & truth).sum((2, 3)) / union
    guess = functional.mse_loss(iou, actual)
    loss = each[:, 0].mean() + 0.3 * each[:, 1:].min(dim=1).values.mean() + guess
    parts = {
        "loss": float(loss.detach()),
        "iou": float(actual[:, 0].mean()),
        "iou_best_of_three": float(actual[:, 1:].max(dim=1).values.mean()),
        "iou_guess_mse": float(guess.detach()),
    }
    return loss, parts


class SamTraining:
    """Prompts on drawn people, the loss of their masks, the weights in half precision."""

    def __init__(self, recipe: Recipe, work: Path) -> None:
        self._work = work
        self._scenes = stored_scenes(training_seeds(recipe.scenes), folder=work)
        self._peopled = np.unique(self._scenes.scene_of)
        torch.manual_seed(recipe.seed)
        self.module = build_sam(SIZES).train()
        self.module.prompt_encoder.mask_downscaling.requires_grad_(False)  # no mask prompts

    def loss(self, rng: np.random.Generator, *, size: int, progress: float) -> Loss:
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
    boxes = [(x0, y0, x1, y1) for x0, y0, x1, y1 in scenes.boxes.tolist()]
    known = [Person(bbox_xyxy_px=box, score=1.0, keypoints=hidden) for box in boxes]
    people = [[known[i] for i in scenes.people_of(scene)] for scene in range(len(scenes.images))]
    found = load_masks(ModelConfig(weights=str(weights)), device="cpu")(list(scenes.images), people)
    masks = [mask for result in found for mask in result.masks]  # people's rows are in this order
    return float(np.mean([mask_iou(mask, scenes.mask(i)) for i, mask in enumerate(masks)]))


def main(argv: Sequence[str] | None = None) -> None:
    """Command line."""
    run = Run(name="sam", budget=Budget(minutes=35.0), work=WORK, out=SAM_DIR)
    recipe, run = read_command(argv, recipe=RECIPE, run=run, about=__doc__)
    training = run.team.first(lambda: SamTraining(recipe, run.work / "scenes"))
    train(training, recipe, run)


if __name__ == "__main__":
    main()
