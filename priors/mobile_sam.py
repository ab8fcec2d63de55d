"""MobileSAM: Segment Anything with the TinyViT image encoder, in the layout of its checkpoint.

The encoder is ultralytics' copy of the authors' TinyViT (arXiv 2306.14289); prompt encoder and mask
decoder are Segment Anything's own, as in ``mobile_sam.pt``.
"""

from functools import partial
from pathlib import Path

from segment_anything.modeling import Sam

from priors.sam import SamConfig, assemble_sam, load_checkpoint
from priors.yolo import import_ultralytics


def build_mobile_sam(image_size: int = 1024) -> Sam:
    """A MobileSAM with random weights, in eval mode; its published size is the default.

    Args:
        image_size: side of the square input, px; a multiple of 64.

    Raises:
        ValueError: another size.
    """
    if image_size % 64:
        raise ValueError(f"image_size must be a multiple of 64, got {image_size}")
    import_ultralytics()
    from ultralytics.models.sam.modules.tiny_encoder import TinyViT

    encoder = TinyViT(
        img_size=image_size,
        embed_dims=(64, 128, 160, 320),
        depths=(2, 2, 6, 2),
        num_heads=(2, 4, 5, 10),
        window_sizes=(7, 7, 14, 7),
        drop_path_rate=0.0,
        layer_lr_decay=0.8,
    )
    return assemble_sam(encoder, SamConfig(image_size=image_size)).eval()


def load_mobile_sam(checkpoint: Path, *, image_size: int = 1024) -> Sam:
    """MobileSAM; see :func:`priors.sam.load_checkpoint`."""
    return load_checkpoint(partial(build_mobile_sam, image_size), checkpoint, name="MobileSAM")
