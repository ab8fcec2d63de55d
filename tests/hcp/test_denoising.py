"""What the U-Net is trained on is what the pipelines themselves would give it."""

from itertools import islice
from typing import Any

import pytest
import torch
from transformers import CLIPTokenizer

from hcp import HcpConfig
from hcp.data import DataConfig
from hcp.denoising import encode
from hcp.loader import Batch, collate, iter_batches
from hcp.training import TrainConfig, Trainer
from tests.hcp.layouts import LAYOUTS, Layout, layout_pipeline
from tests.hcp.samples import epoch_source, make_sample

DATA = DataConfig(resolution_px=16, caption_dropout=0.0, decode_threads=1)
SAMPLES = [make_sample(i, size_px=(64, 48)) for i in range(2)]


def _batches(pipeline: Any) -> Any:
    def to_batch(examples: Any) -> Batch:
        return collate(examples, tokenizer=pipeline.tokenizer)

    return iter_batches(epoch_source(SAMPLES), to_batch, batch_size=2, config=DATA, seed=0)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_embeddings_are_the_pipelines_own(layout: Layout, tiny_tokenizer: CLIPTokenizer) -> None:
    pipeline = layout_pipeline(layout, tiny_tokenizer)
    batch = next(_batches(pipeline))[0]
    found = encode(pipeline, batch, torch.Generator().manual_seed(0))
    expected = pipeline.encode_prompt(
        prompt=list(batch.captions),
        device="cpu",
        num_images_per_prompt=1,
        do_classifier_free_guidance=False,
    )
    assert torch.equal(found.text, expected[0])
    if layout != "sdxl":
        assert found.added is None
        return
    assert found.added is not None
    assert torch.equal(found.added["text_embeds"], expected[2])
    assert found.added["time_ids"].tolist()[0][:2] == [48, 64]
    assert found.added["time_ids"].tolist()[0][4:] == [16, 16]


def test_an_empty_caption_of_sdxl_is_its_empty_negative_prompt(
    tiny_tokenizer: CLIPTokenizer,
) -> None:
    pipeline = layout_pipeline("sdxl", tiny_tokenizer)
    batch = next(_batches(pipeline))[0]
    empty = Batch(**{name: getattr(batch, name) for name in Batch.__slots__} | {
        "captions": ("", batch.captions[1])
    })  # fmt: skip
    found = encode(pipeline, empty, torch.Generator().manual_seed(0))
    assert found.added is not None
    assert not found.text[0].any()
    assert not found.added["text_embeds"][0].any()
    assert found.text[1].any()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_trains(layout: Layout, tiny_tokenizer: CLIPTokenizer) -> None:
    pipeline = layout_pipeline(layout, tiny_tokenizer)
    before = {name: t.clone() for name, t in pipeline.unet.state_dict().items()}
    config = TrainConfig(steps=1, batch_size=2, data=DATA, hcp=HcpConfig(width=8))
    trainer = Trainer(pipeline, config)
    metrics = trainer.step(list(islice(_batches(pipeline), 1)))
    trainer.close()
    assert metrics.alignment > 0
    assert metrics.grad_norm > 0
    after = pipeline.unet.state_dict()
    assert all(torch.equal(tensor, before[name]) for name, tensor in after.items())
