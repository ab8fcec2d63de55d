"""Attention maps recorded from outside, and the words that they belong to."""

from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from torch import Tensor

from hcp import HcpAdapter, HcpConfig
from hcp.evaluation.attention_maps import MapRecorder, select_words, word_map
from hcp.sites import Site, find_sites
from hcp.tokens import human_token_kinds

TOKENS = 16
COLUMNS = torch.tensor([[1, 2], [3, 0]])


def call(unet: Any, rows: int) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    text = torch.randn(4, TOKENS, 32, generator=generator)[-rows:]
    latents = torch.randn(4, 4, 16, 16, generator=generator)[-rows:]
    with torch.no_grad():
        return unet(latents, 400, encoder_hidden_states=text).sample


@pytest.fixture
def sites(pipeline: StableDiffusionPipeline) -> tuple[Site, ...]:
    return find_sites(pipeline.unet, HcpConfig())


def test_recording_changes_nothing_and_ends_with_the_block(
    pipeline: StableDiffusionPipeline, sites: tuple[Site, ...]
) -> None:
    recorder = MapRecorder(pipeline.unet, sites, COLUMNS)
    plain = call(pipeline.unet, 2)
    with recorder.recording():
        assert torch.equal(call(pipeline.unet, 2), plain)
    call(pipeline.unet, 2)
    assert len(recorder.base) == len(sites)
    sizes = sorted(tuple(m.shape[-2:]) for m in recorder.base)
    assert sizes == sorted(site.map_size((16, 16)) for site in sites)


def test_the_last_rows_of_a_guided_batch_are_the_prompts(
    pipeline: StableDiffusionPipeline, sites: tuple[Site, ...]
) -> None:
    alone, guided = (MapRecorder(pipeline.unet, sites, COLUMNS) for _ in range(2))
    with alone.recording():
        call(pipeline.unet, 2)
    with guided.recording():
        call(pipeline.unet, 4)
    torch.testing.assert_close(guided.mean(), alone.mean())
    assert guided.mean().shape == (2, 2, 16, 16)
    torch.testing.assert_close(guided.mean().sum(dim=(2, 3)), torch.ones(2, 2))


def test_the_fused_map_is_the_base_map_plus_gamma_times_the_human_one(
    pipeline: StableDiffusionPipeline, sites: tuple[Site, ...]
) -> None:
    adapter = HcpAdapter.create(pipeline.unet, HcpConfig(width=16, gamma=0.5))
    recorder = MapRecorder(pipeline.unet, sites, COLUMNS, adapter=adapter)
    with recorder.recording():
        call(pipeline.unet, 2)
    assert len(recorder.fused) == len(recorder.base) == len(sites)
    for base, fused, human in zip(recorder.base, recorder.fused, recorder.human, strict=True):
        torch.testing.assert_close(fused, base + 0.5 * human)
        assert not torch.allclose(human, base, rtol=1e-3)


def test_a_negative_gate_still_gives_distributions(
    pipeline: StableDiffusionPipeline, sites: tuple[Site, ...]
) -> None:
    adapter = HcpAdapter.create(pipeline.unet, HcpConfig(width=16, gate="zero", gamma=1.0))
    with torch.no_grad():
        for name, parameter in adapter.named_parameters():
            if name.endswith("gate"):
                parameter.fill_(-0.9)
    recorder = MapRecorder(pipeline.unet, sites, COLUMNS, adapter=adapter)
    with recorder.recording():
        call(pipeline.unet, 2)
    assert any((m < 0).any() for m in recorder.fused)
    fused = recorder.mean("fused")
    assert (fused >= 0).all()
    torch.testing.assert_close(fused.sum(dim=(2, 3)), torch.ones(2, 2))


def test_layers_of_all_sizes_count_alike() -> None:
    recorder = MapRecorder(torch.nn.Identity(), (), COLUMNS[:1, :1])
    left = torch.zeros(1, 1, 4, 4)
    left[..., 0] = 100.0
    recorder.base = [torch.ones(1, 1, 2, 2), left]
    recorder.calls = [("mid", 999), ("up", 999)]
    mean = recorder.mean("base")[0, 0]
    expected = torch.full((4, 4), 1 / 32)
    expected[:, 0] += 1 / 8
    torch.testing.assert_close(mean, expected)
    with pytest.raises(ValueError, match="no human maps"):
        recorder.mean("human")


def test_words_are_put_together_from_their_tokens(pipeline: StableDiffusionPipeline) -> None:
    captions = ["a skater jumping", "a red car", "two people"]
    tokenizer = pipeline.tokenizer
    ids = torch.tensor(
        tokenizer(captions, padding="max_length", truncation=True, max_length=TOKENS)["input_ids"]
    )
    columns, words = select_words(tokenizer, ids, human_token_kinds(tokenizer, captions))
    assert [[w.text for w in row] for row in words] == [["skater", "jumping"], [], ["people"]]
    assert [w.kind for w in words[0]] == [1, 2]
    assert len(words[0][0].tokens) > 1  # this tokenizer spells "skater" in letters
    assert columns.shape[0] == 3
    maps = torch.arange(columns.shape[1], dtype=torch.float32)[:, None, None].expand(-1, 2, 2)
    expected = np.mean(words[0][0].tokens)
    assert word_map(maps, words[0][0])[0, 0].item() == pytest.approx(expected)
