"""Segment Anything of any size, in the layout of the ``segment_anything`` package.

The official ViT-H/L/B come from the package's own registry; ``build_sam`` makes the same modules
with free sizes, for the small Sam that this repository carries.
"""

import json
import pickle
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from storage.errors import WeightsError
from storage.extras import explained_imports
from storage.weight_files import check_model_files

with explained_imports():
    from segment_anything import sam_model_registry
    from segment_anything.modeling import (
        ImageEncoderViT,
        MaskDecoder,
        PromptEncoder,
        Sam,
        TwoWayTransformer,
    )

PIXEL_MEAN = (123.675, 116.28, 103.53)
PIXEL_STD = (58.395, 57.12, 57.375)
WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"
_UNFIT = (RuntimeError, KeyError, TypeError, AttributeError, ValueError, EOFError, OSError)


@dataclass(frozen=True, slots=True, kw_only=True)
class SamConfig:
    """Sizes of one Sam; the defaults are ViT-B's."""

    image_size: int = 1024  # side of the square input, px
    encoder_embed_dim: int = 768
    encoder_depth: int = 12
    encoder_num_heads: int = 12
    encoder_global_attn_indexes: tuple[int, ...] = (2, 5, 8, 11)
    window_size: int = 14  # side of the local attention window, patches; 0 = global everywhere
    vit_patch_size: int = 16  # px
    prompt_embed_dim: int = 256
    decoder_mlp_dim: int = 2048
    decoder_num_heads: int = 8

    def __post_init__(self) -> None:
        if self.image_size % self.vit_patch_size:
            raise ValueError(
                f"SamConfig.image_size must be a multiple of vit_patch_size, "
                f"got {self.image_size} and {self.vit_patch_size}"
            )
        if self.encoder_embed_dim % self.encoder_num_heads:
            raise ValueError(
                f"SamConfig.encoder_embed_dim must be a multiple of encoder_num_heads, "
                f"got {self.encoder_embed_dim} and {self.encoder_num_heads}"
            )


def build_sam(config: SamConfig) -> Sam:
    """A Sam with random weights, in eval mode, as ``segment_anything.build_sam`` builds it.

    State dict names and shapes equal those of the official models at the same sizes.
    """
    encoder = ImageEncoderViT(
        depth=config.encoder_depth,
        embed_dim=config.encoder_embed_dim,
        img_size=config.image_size,
        mlp_ratio=4,
        norm_layer=cast(type[torch.nn.Module], partial(torch.nn.LayerNorm, eps=1e-6)),
        num_heads=config.encoder_num_heads,
        patch_size=config.vit_patch_size,
        qkv_bias=True,
        use_rel_pos=True,
        global_attn_indexes=config.encoder_global_attn_indexes,
        window_size=config.window_size,
        out_chans=config.prompt_embed_dim,
    )
    return assemble_sam(encoder, config).eval()


def assemble_sam(encoder: torch.nn.Module, config: SamConfig) -> Sam:
    """Prompt encoder and mask decoder around an image encoder; its sizes in ``config`` unused."""
    embedding_side = config.image_size // config.vit_patch_size
    return Sam(
        image_encoder=cast(ImageEncoderViT, encoder),
        prompt_encoder=PromptEncoder(
            embed_dim=config.prompt_embed_dim,
            image_embedding_size=(embedding_side, embedding_side),
            input_image_size=(config.image_size, config.image_size),
            mask_in_chans=16,
        ),
        mask_decoder=MaskDecoder(
            num_multimask_outputs=3,
            transformer=TwoWayTransformer(
                depth=2,
                embedding_dim=config.prompt_embed_dim,
                mlp_dim=config.decoder_mlp_dim,
                num_heads=config.decoder_num_heads,
            ),
            transformer_dim=config.prompt_embed_dim,
            iou_head_depth=3,
            iou_head_hidden_dim=config.prompt_embed_dim,
        ),
        pixel_mean=list(PIXEL_MEAN),
        pixel_std=list(PIXEL_STD),
    )


def save_sam(sam: Sam, directory: Path, *, config: SamConfig) -> None:
    """Write ``model.safetensors`` and ``config.json``, the format that ``load_sam`` reads."""
    directory.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.contiguous() for name, tensor in sam.state_dict().items()}
    save_file(tensors, directory / WEIGHTS_FILE)
    (directory / CONFIG_FILE).write_text(json.dumps(asdict(config), indent=1) + "\n")


def is_sam_folder(directory: Path) -> bool:
    """Whether a folder's config is that of a Sam that ``save_sam`` wrote."""
    try:
        fields = json.loads((directory / CONFIG_FILE).read_text())
    except (OSError, ValueError):
        return False
    return isinstance(fields, dict) and "encoder_embed_dim" in fields


def load_sam(directory: Path) -> Sam:
    """The Sam of a directory written by ``save_sam``, float32, on CPU, in eval mode.

    Raises:
        WeightsError: a file is missing, or weights and config do not fit each other.
    """
    for name in (WEIGHTS_FILE, CONFIG_FILE):
        if not (directory / name).is_file():
            raise WeightsError(
                f"embedded Sam: expected {WEIGHTS_FILE} and {CONFIG_FILE} in {directory}, "
                f"{name} is missing"
            )
    check_model_files([directory / WEIGHTS_FILE, directory / CONFIG_FILE], "embedded Sam")
    try:
        fields = json.loads((directory / CONFIG_FILE).read_text())
        fields["encoder_global_attn_indexes"] = tuple(fields["encoder_global_attn_indexes"])
        sam = build_sam(SamConfig(**fields))
        tensors = load_file(directory / WEIGHTS_FILE)
        sam.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    except (ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise WeightsError(
            f"embedded Sam: {CONFIG_FILE} and {WEIGHTS_FILE} in {directory} do not fit: {error}"
        ) from error
    return sam


def load_official_sam(kind: str, checkpoint: Path) -> Sam:
    """An official ``vit_h``, ``vit_l`` or ``vit_b``; see :func:`load_checkpoint`."""
    return load_checkpoint(lambda: sam_model_registry[kind](), checkpoint, name=f"Sam {kind}")


def load_checkpoint(build: Callable[[], Sam], checkpoint: Path, *, name: str) -> Sam:
    """A Sam with the weights of a verified file, float32, on CPU, in eval mode.

    Raises:
        WeightsError: the file is not a state dict of that model; ``name`` is for the message.
    """
    check_model_files([checkpoint], name)
    try:
        sam = build()
        sam.load_state_dict(_state_dict(checkpoint))
    except (*_UNFIT, pickle.UnpicklingError, SafetensorError) as error:
        raise WeightsError(f"{name}: {checkpoint} is not its checkpoint: {error}") from error
    return sam.eval()  # also what is in it: TinyViT works out its attention biases then


def _state_dict(checkpoint: Path) -> dict[str, torch.Tensor]:
    if checkpoint.suffix.lower() == ".safetensors":
        return load_file(checkpoint)
    return torch.load(checkpoint, map_location="cpu", weights_only=True)
