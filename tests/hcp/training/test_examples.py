import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

from hcp.training.config import DataConfig
from hcp.training.examples import (
    crop_box,
    crop_place,
    flip_keypoints,
    make_example,
    nearest_aspect,
    relabel,
)
from storage.records import COCO_KEYPOINTS
from tests.hcp.samples import make_person, make_sample

PLAIN = DataConfig(resolution_px=64, flip_probability=0.0, caption_dropout=0.0)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_a_square_photo_is_resized_whole() -> None:
    sample = make_sample(size_px=(128, 128))
    example = make_example(sample, config=PLAIN, rng=rng())
    with Image.open(io.BytesIO(sample.image_jpeg)) as image:
        whole = np.asarray(image.resize((64, 64), Image.Resampling.LANCZOS))
    np.testing.assert_array_equal(example.pixels, whole.transpose(2, 0, 1))
    assert example.pixels.dtype == np.uint8
    points = np.array(sample.people[0].keypoints)
    np.testing.assert_allclose(example.keypoints[0, :, :2], points[:, :2] / 2, atol=1e-4)
    np.testing.assert_allclose(example.keypoints[0, :, 2], 0.9, atol=1e-6)


def test_the_flip_mirrors_pixels_mask_and_keypoints_together() -> None:
    sample = make_sample(size_px=(128, 128))
    plain = make_example(sample, config=PLAIN, rng=rng())
    config = dataclasses.replace(PLAIN, flip_probability=1.0)
    flipped = make_example(sample, config=config, rng=rng())
    np.testing.assert_array_equal(flipped.pixels, plain.pixels[:, :, ::-1])
    np.testing.assert_array_equal(flipped.mask, plain.mask[:, ::-1])
    left, right = COCO_KEYPOINTS.index("left_wrist"), COCO_KEYPOINTS.index("right_wrist")
    assert flipped.keypoints[0, left, 0] == pytest.approx(64 - plain.keypoints[0, right, 0])
    assert flipped.keypoints[0, left, 1] == pytest.approx(plain.keypoints[0, right, 1])
    np.testing.assert_allclose(flip_keypoints(flipped.keypoints, 64), plain.keypoints, atol=1e-5)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("size_px", [(200, 100), (90, 160)])
def test_keypoints_and_mask_follow_the_crop(size_px: tuple[int, int], seed: int) -> None:
    """The drawn limbs are where the keypoints and the mask say they are."""
    sample = make_sample(size_px=size_px)
    config = dataclasses.replace(PLAIN, flip_probability=0.5, min_crop_scale=0.7)
    example = make_example(sample, config=config, rng=rng(seed))
    white = example.pixels.mean(axis=0) > 204
    drawn = example.mask > 0
    assert (white & drawn).sum() / max((white | drawn).sum(), 1) > 0.6
    inside = example.keypoints[0][example.keypoints[0, :, 2] > 0]
    hits = [drawn[int(y), int(x)] for x, y, _ in inside]
    assert np.mean(hits) > 0.7


def test_the_crop_place_is_that_of_the_resized_photo() -> None:
    box = (30.0, 10.0, 90.0, 70.0)  # 60 x 60 of a photo 200 wide, shown at 120 x 120
    assert crop_place(box, width_px=200, size_px=(120, 120), flip=False) == (20, 60)
    assert crop_place(box, width_px=200, size_px=(120, 120), flip=True) == (20, 220)


def test_the_crop_keeps_the_people_that_fit() -> None:
    people = [(150.0, 10.0, 190.0, 90.0)]
    for seed in range(20):
        box = crop_box((200, 100), people, aspect=1.0, min_scale=1.0, rng=rng(seed))
        assert box[0] <= 150
        assert box[2] >= 190
        assert box[2] - box[0] == pytest.approx(100)
        assert box[0] >= 0
        assert box[2] <= 200


def test_the_crop_stays_on_people_wider_than_itself() -> None:
    for seed in range(20):
        box = crop_box((400, 100), [(100, 0, 380, 100)], aspect=1.0, min_scale=1.0, rng=rng(seed))
        assert box[0] >= 100
        assert box[2] <= 380


def test_keypoints_outside_the_crop_lose_their_confidence() -> None:
    near, far = make_person((5, 10, 55, 90)), make_person((340, 10, 390, 90))
    sample = make_sample(size_px=(400, 100), people=[near, far])
    example = make_example(sample, config=PLAIN, rng=rng(1))
    x, confidence = example.keypoints[..., 0], example.keypoints[..., 2]
    outside = (x < 0) | (x >= 64)
    assert outside.any()
    assert (confidence[outside] == 0).all()


def test_people_below_the_gate_are_no_priors() -> None:
    weak, strong = make_person((0, 0, 40, 90), passes_gate=False), make_person((50, 0, 90, 90))
    example = make_example(make_sample(people=[weak, strong]), config=PLAIN, rng=rng())
    assert len(example.keypoints) == 1
    assert set(np.unique(example.mask)) == {0, 1}
    mask = np.array([[0, 1, 2, 3]], dtype=np.uint8)
    np.testing.assert_array_equal(relabel(mask, [2, 0]), [[0, 2, 0, 1]])


def test_dropped_captions_are_empty_and_their_share_is_right() -> None:
    sample = make_sample()
    config = dataclasses.replace(PLAIN, caption_dropout=0.25)
    captions = [make_example(sample, config=config, rng=rng(s)).caption for s in range(300)]
    assert set(captions) == {"", sample.caption}
    assert 0.17 < captions.count("") / 300 < 0.33


def test_the_same_generator_gives_the_same_example() -> None:
    sample = make_sample(size_px=(300, 120))
    config = DataConfig(resolution_px=64, min_crop_scale=0.6)
    first, again = (make_example(sample, config=config, rng=rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first.pixels, again.pixels)
    np.testing.assert_array_equal(first.keypoints, again.keypoints)


def test_buckets_keep_the_area_and_the_grid() -> None:
    config = DataConfig(resolution_px=512, aspects=(1.0, 1.5, 2 / 3))
    assert config.bucket_px(1.0) == (512, 512)
    width, height = config.bucket_px(1.5)
    assert (width, height) == (640, 448)
    assert config.bucket_px(2 / 3) == (height, width)
    assert nearest_aspect(300, 200, config.aspects) == 1.5
    assert nearest_aspect(200, 210, config.aspects) == 1.0
    example = make_example(make_sample(size_px=(300, 200)), config=config, aspect=1.5, rng=rng())
    assert example.pixels.shape == (3, 448, 640)


@pytest.mark.parametrize(
    "wrong", [{"resolution_px": 100}, {"aspects": (1.5,)}, {"flip_probability": 1.5}]
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        DataConfig(**wrong)


FLIPPED = dataclasses.replace(PLAIN, flip_probability=1.0)


def test_the_caption_is_flipped_with_the_photo() -> None:
    sample = make_sample(caption="a left-handed man with his right arm up")
    plain = make_example(sample, config=PLAIN, rng=rng())
    flipped = make_example(sample, config=FLIPPED, rng=rng())
    assert (plain.caption, flipped.caption) == (
        "a left-handed man with his right arm up",
        "a right-handed man with his left arm up",
    )
    np.testing.assert_array_equal(flipped.pixels, plain.pixels[:, :, ::-1])


def test_a_photo_with_writing_is_not_flipped() -> None:
    sample = make_sample(caption='a man whose shirt reads "love"')
    plain = make_example(sample, config=PLAIN, rng=rng())
    kept = make_example(sample, config=FLIPPED, rng=rng())
    np.testing.assert_array_equal(kept.pixels, plain.pixels)
    np.testing.assert_array_equal(kept.keypoints, plain.keypoints)
    assert (kept.caption, kept.crop_px) == (plain.caption, plain.crop_px)
    config = dataclasses.replace(FLIPPED, caption_dropout=1.0)  # its photo still has the writing
    dropped = make_example(sample, config=config, rng=rng())
    np.testing.assert_array_equal(dropped.pixels, plain.pixels)
    assert dropped.caption == ""


@pytest.mark.parametrize("size_px", [(100, 400), (400, 100), (100, 1000), (333, 101)])
@pytest.mark.parametrize("min_scale", [1.0, 0.5])
@pytest.mark.parametrize(
    "people",
    [
        [(0.0, 0.0, 0.1, 0.1)],
        [(0.9, 0.9, 1.0, 1.0)],
        [(-0.1, 0.4, 0.1, 1.2)],  # detections may reach over the edge
        [(0.0, 0.0, 0.1, 0.2), (0.9, 0.8, 1.0, 1.0)],
        [(0.0, 0.0, 1.0, 1.0)],
        [],
    ],
)
def test_a_crop_of_any_photo_lies_in_it_and_has_someone(
    size_px: tuple[int, int], min_scale: float, people: list[tuple[float, float, float, float]]
) -> None:
    width, height = size_px
    boxes = [(a * width, b * height, c * width, d * height) for a, b, c, d in people]
    for seed in range(30):
        for aspect in (1.0, 1.5, 2 / 3):
            box = crop_box(size_px, boxes, aspect=aspect, min_scale=min_scale, rng=rng(seed))
            assert 0 <= box[0] < box[2] <= width + 1e-6
            assert 0 <= box[1] < box[3] <= height + 1e-6
            assert (box[2] - box[0]) / (box[3] - box[1]) == pytest.approx(aspect)
            seen = [_overlap(box, each, size_px) for each in boxes]
            assert max(seen, default=1.0) > 0.2


def _overlap(box: tuple[float, ...], person: tuple[float, ...], size_px: tuple[int, int]) -> float:
    """Share of the crop or of the person, whichever is smaller, that the other one covers."""
    share = 1.0
    for axis in (0, 1):
        start, end = max(person[axis], 0.0), min(person[axis + 2], float(size_px[axis]))
        both = min(end, box[axis + 2]) - max(start, box[axis])
        share *= max(both, 0.0) / min(end - start, box[axis + 2] - box[axis])
    return share


def test_people_far_apart_are_not_missed() -> None:
    people = [(0.0, 20.0, 30.0, 90.0), (370.0, 20.0, 400.0, 90.0)]
    lefts: set[float] = set()
    for seed in range(40):
        box = crop_box((400, 100), people, aspect=1.0, min_scale=1.0, rng=rng(seed))
        assert box[0] <= 15 or box[2] >= 385  # the middle of one of them
        lefts.add(round(box[0]))
    assert min(lefts) == 0
    assert max(lefts) >= 270


@pytest.mark.parametrize("side", [512, 768, 1024])
def test_buckets_of_the_bases_have_sides_that_they_take(side: int) -> None:
    config = DataConfig(resolution_px=side)
    for aspect in np.geomspace(1 / 3, 3, 25):
        width, height = config.bucket_px(float(aspect))
        assert width % 64 == height % 64 == 0
        assert width * height == pytest.approx(side**2, rel=0.13)
        assert width / height == pytest.approx(aspect, rel=0.13)
    assert config.bucket_px(1.0) == (side, side)
