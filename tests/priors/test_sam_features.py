"""A Sam's image encoder as a feature network."""

import torch

from priors.sam import PIXEL_MEAN, PIXEL_STD, SamConfig, build_sam
from priors.sam_features import SamFeatures


def tiny() -> SamFeatures:
    torch.manual_seed(0)
    config = SamConfig(
        image_size=32, encoder_embed_dim=16, encoder_depth=1, encoder_num_heads=2,
        encoder_global_attn_indexes=(0,), window_size=2, vit_patch_size=8, prompt_embed_dim=16,
    )  # fmt: skip
    return SamFeatures(build_sam(config)).eval()


@torch.no_grad()
def test_pictures_of_any_size_give_the_mean_of_their_map() -> None:
    features = tiny()
    images = torch.randint(0, 256, (6, 3, 32, 32), dtype=torch.uint8)
    found = features(images)
    assert found.shape == (6, 16)
    mean, std = (torch.tensor(each)[:, None, None] for each in (PIXEL_MEAN, PIXEL_STD))
    pixels = (images[:1].float() - mean) / std
    torch.testing.assert_close(found[:1], features.encoder(pixels).mean(dim=(2, 3)))
    torch.testing.assert_close(features(images[4:]), found[4:])  # whatever the batch
    assert features(images[:2, :, :20, :24]).shape == (2, 16)
