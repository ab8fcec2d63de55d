"""Pictures and curves of the report."""

import base64
import dataclasses
import io
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from hcp.pages.figures import (
    decode_image,
    draw_people,
    heat_overlay,
    jpeg_uri,
    line_chart,
    outline,
    skeleton_uri,
)
from tests.hcp.samples import make_person


def opened(uri: str, kind: str) -> Image.Image:
    head, _, body = uri.partition(",")
    assert head == f"data:image/{kind};base64"
    return Image.open(io.BytesIO(base64.b64decode(body)))


def test_pictures_shrink_and_never_grow() -> None:
    image = np.full((100, 400, 3), 200, dtype=np.uint8)
    assert opened(jpeg_uri(image, max_px=80), "jpeg").size == (80, 20)
    assert opened(jpeg_uri(image, max_px=900), "jpeg").size == (400, 100)


def test_only_sure_people_are_drawn_and_the_rest_is_transparent() -> None:
    people = [make_person((8, 4, 24, 60), score=0.9), make_person((36, 4, 60, 60), score=0.2)]
    drawn = np.asarray(opened(skeleton_uri(people, size_px=(64, 64), min_score=0.35), "png"))
    assert drawn.shape == (256, 256, 4)
    alpha = drawn[..., 3]
    assert set(np.unique(alpha)) == {0, 255}
    assert alpha[:, :128].any()
    assert not alpha[:, 128:].any()


def test_the_heat_map_is_brightest_where_attention_is() -> None:
    image = np.full((32, 32, 3), 100, dtype=np.uint8)
    heat = np.zeros((4, 4), dtype=np.float32)
    heat[0, 3] = 1
    drawn = heat_overlay(image, heat).sum(axis=2).astype(int)
    assert drawn[2, 29] == drawn.max()
    assert drawn[29, 2] < drawn[2, 29]
    flat = heat_overlay(image, np.zeros((4, 4), dtype=np.float32))
    assert flat.std() < 60  # finite, and the same everywhere
    mask = np.zeros((5, 5), dtype=bool)
    mask[1:4, 1:4] = True
    assert outline(mask).sum() == 8


def points(line: str) -> Iterator[tuple[float, float]]:
    for pair in line.split():
        x, y = pair.split(",")
        yield float(x), float(y)


def test_a_chart_stays_inside_its_frame_and_keeps_order() -> None:
    values = [1.0, 5.0, 3.0, 2.0, 100.0]
    chart = line_chart("loss", [1, 2, 3, 4, 5], values)
    drawn = list(points(chart.raw))
    assert [x for x, _ in drawn] == sorted(x for x, _ in drawn)
    assert all(0 <= x <= chart.width and 0 <= y <= chart.height for x, y in drawn)
    assert drawn[0][1] > drawn[1][1]  # larger is higher up
    flat = line_chart("flat", [1, 2], [0.0, 0.0])
    assert all(np.isfinite(y) for _, y in points(flat.smooth))
    long = line_chart("long", range(5000), [float(i) for i in range(5000)])
    assert len(list(points(long.raw))) <= 400
    with pytest.raises(ValueError, match="line_chart"):
        line_chart("none", [], [])


def test_overlay_tints_masks_and_leaves_the_photo(make_unit_of, make_sample):
    sample = make_sample(make_unit_of(1).records[0])
    bare = dataclasses.replace(
        sample, people=tuple(dataclasses.replace(p, bbox_xyxy_px=(7, 5, 7, 5), passes_gate=False)
                             for p in sample.people))  # fmt: skip
    image = decode_image(sample)
    before = image.copy()
    drawn = draw_people(image, bare)
    assert np.array_equal(image, before)
    changed = (drawn != image).any(-1)
    assert changed[1:4, 2:5].mean() > 0.8
    assert np.array_equal(drawn[sample.mask == 0][:-1], image[sample.mask == 0][:-1])
    with pytest.raises(ValueError, match="must be"):
        draw_people(image[:3], sample)
