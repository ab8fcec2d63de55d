"""An adapter in half precision: as small as that, and the same pictures but for rounding."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import CLIPTokenizer

from hcp import HcpAdapter
from hcp.checkpoint import WEIGHTS
from tests.hcp.layouts import LAYOUTS, Layout, layout_pipeline
from tests.hcp.loud_adapters import HUMAN, OTHER, draw, loud


@pytest.mark.parametrize("layout", LAYOUTS)
def test_saved_in_half_precision_it_draws_the_same_picture_but_for_rounding(
    layout: Layout, tiny_tokenizer: CLIPTokenizer, tmp_path: Path
) -> None:
    pipeline = layout_pipeline(layout, tiny_tokenizer)
    base = draw(pipeline, HUMAN)
    adapter = loud(pipeline).attach(pipeline)
    full, other = draw(pipeline, HUMAN), draw(pipeline, OTHER)
    adapter.detach()
    adapter.save_pretrained(tmp_path / "full")
    count = sum(p.numel() for p in adapter.parameters())
    for dtype, noise in ((torch.float16, 0.01), (torch.bfloat16, 0.08)):
        adapter.save_pretrained(tmp_path / "half", dtype=dtype)
        sizes = [(tmp_path / name / WEIGHTS).stat().st_size for name in ("half", "full")]
        assert sizes[1] - sizes[0] == pytest.approx(2 * count, rel=0.02)  # the header stays
        loaded = HcpAdapter.from_pretrained(tmp_path / "half")
        assert {p.dtype for p in loaded.parameters()} == {torch.float32}
        loaded.attach(pipeline)
        apart = np.abs(draw(pipeline, HUMAN) - full).mean()
        assert 0 < apart < noise * np.abs(full - base).mean()
        assert np.array_equal(draw(pipeline, OTHER), other)
        loaded.detach()
        assert {p.dtype for p in adapter.parameters()} == {torch.float32}  # saving changes nothing


def test_it_loads_in_the_dtype_that_is_wanted(
    tiny_tokenizer: CLIPTokenizer, tmp_path: Path
) -> None:
    pipeline = layout_pipeline("sd1", tiny_tokenizer)
    loud(pipeline).save_pretrained(tmp_path / "a")
    loaded = HcpAdapter.from_pretrained(tmp_path / "a", dtype=torch.bfloat16)
    assert {p.dtype for p in loaded.parameters()} == {torch.bfloat16}
    pipeline.to(torch.bfloat16)
    loaded.attach(pipeline)
    assert np.isfinite(draw(pipeline, HUMAN)).all()
