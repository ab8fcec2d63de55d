"""Pictures on the embedded base: names, what goes together, and that each is its own command's."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from demo.embedded import SD_DIR
from flows.pictures import PictureJob, draw_pictures
from hcp import HcpAdapter, HcpConfig
from hcp.base import load_base
from storage.errors import CheckpointError, HcpError
from tests.hcp.layouts import layout_pipeline
from tests.hcp.single_files import save_settings, save_single_file

PROMPT = "a woman dancing"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An adapter of the embedded base that changes a great deal."""
    folder = tmp_path_factory.mktemp("adapter")
    adapter = HcpAdapter.create(load_base(SD_DIR).unet, HcpConfig(width=8, gamma=5.0))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    adapter.save_pretrained(folder)
    return str(folder)


@pytest.fixture
def draw(tmp_path: Path) -> Callable[..., list[Path]]:
    """Draw small and quickly; the files that were written."""

    def run(**fields: Any) -> list[Path]:
        given = {"base": "embedded", "out": tmp_path / "a.png", "steps": 1, "width": 64,
                 "height": 64, "device": "cpu"} | fields  # fmt: skip
        if "prompts" not in given:
            given.setdefault("prompt", PROMPT)
        return list(draw_pictures(PictureJob(**given)))

    return run


def pixels(path: Path) -> Any:
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def test_several_prompts_and_seeds_are_each_the_picture_of_their_own_command(
    draw: Callable[..., list[Path]], checkpoint: str, tmp_path: Path
) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a red car\n\na woman dancing\n")
    out = tmp_path / "pictures"
    written = draw(prompts=str(prompts), seeds=(0, 7), checkpoint=checkpoint, out=out)
    names = ["001-seed0.png", "001-seed7.png", "002-seed0.png", "002-seed7.png"]
    assert written == [out / name for name in names]
    alone = draw(seeds=(7,), checkpoint=checkpoint)
    assert alone == [tmp_path / "a.png"]
    assert np.array_equal(pixels(alone[0]), pixels(out / "002-seed7.png"))
    assert not np.array_equal(pixels(out / "002-seed0.png"), pixels(out / "002-seed7.png"))
    assert [path.name for path in draw(out=out / "one")] == ["001-seed0.png"]


def test_strengths_make_one_labelled_grid_and_each_of_their_pictures(
    draw: Callable[..., list[Path]], checkpoint: str, tmp_path: Path
) -> None:
    strengths = {"checkpoint": checkpoint, "strengths": (0.0, 0.5, 1.0)}
    out = tmp_path / "folder"
    written = draw(out=out, maps=True, **strengths)
    assert [path.name for path in written] == [
        "001-seed0-strength0.png", "001-seed0-strength0.maps.png",
        "001-seed0-strength0.5.png", "001-seed0-strength0.5.maps.png",
        "001-seed0-strength1.png", "001-seed0-strength1.maps.png", "grid.png",
    ]  # fmt: skip
    (grid,) = draw(**strengths)
    assert np.array_equal(pixels(grid), pixels(out / "grid.png"))
    height, width, _ = pixels(grid).shape
    assert width == 3 * (64 + 4)
    assert 64 < height < 2 * 64
    base = pixels(draw(out=tmp_path / "base.png")[0])
    full = pixels(draw(out=tmp_path / "full.png", checkpoint=checkpoint)[0])
    half = pixels(draw(out=tmp_path / "half.png", checkpoint=checkpoint, strength=0.5)[0])
    for name, expected in (("0", base), ("0.5", half), ("1", full)):
        assert np.array_equal(pixels(out / f"001-seed0-strength{name}.png"), expected)
    tiles = [pixels(grid)[36 : 36 + 64, x : x + 64] for x in (0, 68, 136)]
    for tile, expected in zip(tiles, (base, half, full), strict=True):
        assert np.array_equal(tile, expected)
    assert np.abs(full - base).max() > 10


def test_size_negative_prompt_and_dtype_reach_the_picture(
    draw: Callable[..., list[Path]], tmp_path: Path
) -> None:
    plain = pixels(draw(width=96, height=40)[0])
    assert plain.shape == (40, 96, 3)
    settings = {"width": 96, "height": 40, "out": tmp_path / "b.png"}
    negative = pixels(draw(negative_prompt="a man", **settings)[0])
    assert not np.array_equal(negative, plain)
    half = pixels(draw(dtype="bfloat16", **settings)[0])
    assert 0 < np.abs(half - plain).mean() < 8
    maps = draw(maps=True, **settings)
    assert [path.name for path in maps] == ["b.png", "b.maps.png"]
    assert np.array_equal(pixels(maps[0]), plain)
    assert [p.name for p in draw(maps=True, **settings | {"prompt": "a red car"})] == ["b.png"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"out": Path("picture.xyz")}, r"picture\.xyz"),
        ({"checkpoint": "/gone/adapter"}, "gone"),
        ({"prompt": None}, "--prompts"),
        ({"prompts": "p.txt", "prompt": "a man"}, "one of them"),
        ({"prompts": "/gone.txt"}, r"gone\.txt"),
        ({"seeds": (1, 2)}, "need a folder"),
        ({"seeds": ()}, "one or more"),
        ({"seeds": (1, 1), "out": Path("x")}, "each once"),
        ({"seeds": (2**70,)}, "64 bits"),
        ({"strength": 0.5}, "--checkpoint"),
        ({"strengths": (0.0, 1.0)}, "--checkpoint"),
        ({"any_base": True}, "--checkpoint"),
        ({"strength": float("nan"), "checkpoint": "c"}, "finite"),
        ({"strengths": (0.5, 0.5), "checkpoint": "c"}, "each once"),
        ({"strengths": (0.5, 1.0), "strength": 0.2, "checkpoint": "c"}, "not both"),
        ({"strengths": (0.5, 1.0), "maps": True, "checkpoint": "c"}, "must be a folder"),
        ({"width": 100}, r"multiples of 8.*\[100, 64\]"),
        ({"height": 0}, "at least 8"),
        ({"height": -64}, "at least 8"),
        ({"negative_prompt": "ugly", "guidance": 1.0}, "guidance"),
    ],
)
def test_what_is_wrong_is_told_before_the_base_loads(
    draw: Callable[..., list[Path]], fields: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(HcpError, match=message):
        draw(**{"base": str(tmp_path / "no-base")} | fields)
    assert not list(tmp_path.iterdir())


def test_another_base_needs_any_base(
    draw: Callable[..., list[Path]], checkpoint: str, tmp_path: Path
) -> None:
    other = load_base(SD_DIR)
    with torch.no_grad():
        for parameter in other.unet.parameters():
            parameter.add_(0.01 * torch.randn(parameter.shape))
    other.save_pretrained(tmp_path / "tuned")
    tuned = {"base": str(tmp_path / "tuned"), "checkpoint": checkpoint}
    with pytest.raises(CheckpointError, match="--any-base"):
        draw(**tuned)
    assert draw(any_base=True, **tuned)


def test_b01_pictures_are_drawn_from_a_single_file(
    draw: Callable[..., list[Path]], tmp_path: Path
) -> None:
    pipeline = layout_pipeline("sd1", load_base(SD_DIR).tokenizer)
    path = tmp_path / "tune.safetensors"
    save_single_file(pipeline, path)
    save_settings(pipeline, path.with_suffix(""))
    folder = tmp_path / "folder"
    pipeline.save_pretrained(folder)
    places = [draw(base=str(base), out=tmp_path / f"{base.name}.png") for base in (path, folder)]
    one, other = (pixels(written[0]) for written in places)
    assert np.array_equal(one, other)
