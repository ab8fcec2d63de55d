"""Share of attention on people: by hand, and on photos."""

import numpy as np
import pytest
from diffusers import StableDiffusionPipeline

from hcp import HcpAdapter, HcpConfig
from hcp.evaluation.attention_maps import Word
from hcp.evaluation.mechanism import PhotoMaps, attention_share, probe_photos
from tests.hcp.samples import make_sample

TIMESTEPS = (200, 600)


def photo(base: np.ndarray, mask: np.ndarray) -> PhotoMaps:
    return PhotoMaps(
        key="0",
        caption="",
        image=np.zeros((4, 4, 3), dtype=np.uint8),
        mask=mask,
        words=(Word(text="woman", kind=1, tokens=(0,)),),
        base=base[None].astype(np.float32),
        fused=None,
        human=None,
    )


def test_share_by_hand() -> None:
    mask = np.zeros((4, 4), dtype=bool)
    mask[:, :1] = True  # a quarter of the photo, half of each left map pixel
    base = np.array([[0.6, 0.1], [0.2, 0.1]])
    share = attention_share([photo(base, mask)])
    assert share.base == (pytest.approx(0.4),)
    assert share.chance == (0.25,)
    assert share.fused == share.human == ()


def test_a_flat_map_gets_what_chance_gives() -> None:
    mask = np.zeros((4, 4), dtype=bool)
    mask[1:3, 1:4] = True
    share = attention_share([photo(np.full((2, 2), 0.25), mask)])
    assert share.base[0] == pytest.approx(share.chance[0])


def test_probing_photos(pipeline: StableDiffusionPipeline) -> None:
    adapter = HcpAdapter.create(pipeline.unet, HcpConfig(width=16))
    samples = [make_sample(0), make_sample(1, caption="a red car"), make_sample(2, people=[])]
    photos = probe_photos(pipeline, samples, adapter=adapter, timesteps=TIMESTEPS, batch_size=2)
    assert [p.key for p in photos] == [samples[0].key]
    base = photos[0].base
    assert photos[0].fused is not None
    assert base.shape == photos[0].fused.shape
    np.testing.assert_allclose(base.sum(axis=(1, 2)), 1, atol=1e-3)
    again = probe_photos(pipeline, samples, adapter=None, timesteps=TIMESTEPS, batch_size=2)
    np.testing.assert_array_equal(again[0].base, base)
    assert again[0].fused is None


def test_with_a_closed_gate_the_fused_map_is_the_base_map(
    pipeline: StableDiffusionPipeline,
) -> None:
    adapter = HcpAdapter.create(pipeline.unet, HcpConfig(width=16, gate="zero"))
    photos = probe_photos(pipeline, [make_sample()], adapter=adapter, timesteps=TIMESTEPS)
    assert photos[0].fused is not None
    np.testing.assert_allclose(photos[0].fused, photos[0].base, atol=1e-7)
    share = attention_share(photos)
    assert share.fused[0] == pytest.approx(share.base[0], abs=1e-5)
