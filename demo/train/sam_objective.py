"""What the embedded Sam is trained on: its answers to many prompts at once, and their loss.

B images, P prompts, K point slots, R side of the decoder's masks in px, S side of the input in px.
"""

from typing import Any

import torch
from segment_anything.modeling import Sam
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional

from demo.train.sam_prompts import PromptBatch


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
