"""Masks of given people: Segment Anything as its own predictor does it, and the choice by name."""

from pathlib import Path

import numpy as np
import pytest
import torch
from segment_anything import SamPredictor
from segment_anything.modeling import Sam

from priors.config import ModelConfig
from priors.masks import (
    MAX_POINTS,
    NOT_A_POINT,
    PersonMasks,
    SamMasks,
    empty_masks,
    index_people,
    point_prompts,
)
from priors.weights import resolve_weights
from storage.errors import WeightsError
from storage.records import Person
from tests.priors.sam_samples import images, person, write_small_sam


def load(path: Path, *, batch_size: int = 4) -> SamMasks:
    return SamMasks(resolve_weights(path, trust=True), ModelConfig(batch_size=batch_size))


@pytest.fixture
def small(tmp_path: Path) -> tuple[Sam, Path]:
    return write_small_sam(tmp_path / "sam"), tmp_path / "sam"


def test_masks_equal_those_of_the_packages_own_predictor(small: tuple[Sam, Path]) -> None:
    sam, directory = small
    people = [
        [person(10, 10, 60, 80), person(70, 5, 150, 85)],
        [],
        [person(20, 20, 100, 100)],
    ]
    found = load(directory, batch_size=2)(images(), people)
    predictor = SamPredictor(sam)
    some = 0
    for image, given, got in zip(images(), people, found, strict=True):
        assert got.masks.shape == (len(given), *image.shape[:2])
        predictor.set_image(image)
        for i, one in enumerate(given):
            points = np.array([p[:2] for p in one.keypoints[:MAX_POINTS]])
            mask, score, _ = predictor.predict(
                point_coords=points,
                point_labels=np.ones(len(points)),
                box=np.array(one.bbox_xyxy_px),
                multimask_output=False,
            )
            np.testing.assert_array_equal(got.masks[i], mask[0])
            expected = float(np.clip(score[0], 0, 1)) if mask[0].any() else 0.0
            assert got.scores[i] == pytest.approx(expected, abs=1e-5)
            some += int(mask[0].sum())
    assert some > 0


def test_a_photo_does_not_depend_on_its_neighbours(small: tuple[Sam, Path]) -> None:
    model = load(small[1], batch_size=2)
    people = [[person(10, 10, 60, 80)], [person(10, 10, 60, 80)], [person(20, 20, 100, 100)]]
    together = model(images(), people)
    for image, given, expected in zip(images(), people, together, strict=True):
        alone = model([image], [given])[0]
        assert (alone.masks != expected.masks).mean() < 1e-3
        np.testing.assert_allclose(alone.scores, expected.scores, atol=1e-5)


def test_unsure_keypoints_are_no_prompts(small: tuple[Sam, Path]) -> None:
    points, labels = point_prompts([person(0, 0, 9, 9, sure=2), person(0, 0, 9, 9, sure=17)])
    assert labels.tolist() == [[1, 1] + [NOT_A_POINT] * 3, [1] * 5]
    assert points.shape == (2, 5, 2)
    _, none = point_prompts([person(0, 0, 9, 9, sure=0)])
    assert none.tolist() == [[NOT_A_POINT]]
    nobody = load(small[1])(images()[:1], [[person(5, 5, 80, 80, sure=0)]])
    assert nobody[0].masks.shape == (1, 90, 160)


def test_an_official_checkpoint_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sam_vit_b_mine.pth"
    torch.save({"a": torch.zeros(2)}, path)
    with pytest.raises(WeightsError, match="is not its checkpoint"):
        load(path)
    with pytest.raises(WeightsError, match="sam_vit_h, sam_vit_l, sam_vit_b or mobile_sam"):
        load(path.rename(tmp_path / "other.pth"))
    with pytest.raises(WeightsError, match="MobileSAM"):
        load((tmp_path / "other.pth").rename(tmp_path / "mobile_sam.pt"))


def test_empty_masks_have_no_pixel_and_no_score() -> None:
    found = empty_masks(2, height_px=3, width_px=5)
    assert (found.masks.shape, found.masks.dtype) == ((2, 3, 5), np.bool_)
    assert not found.masks.any()
    assert found.scores.tolist() == [0, 0]
    assert empty_masks(0, height_px=3, width_px=5).masks.shape == (0, 3, 5)


def scored(score: float, *, passes: bool = True) -> Person:
    return Person(
        bbox_xyxy_px=(0, 0, 4, 4), score=score, keypoints=((0, 0, 0),) * 17, passes_gate=passes
    )


def bands(*columns: slice) -> PersonMasks:
    drawn = np.zeros((len(columns), 4, 8), dtype=np.bool_)
    for mask, part in zip(drawn, columns, strict=True):
        mask[:, part] = True
    scores = np.linspace(0.5, 0.7, len(columns), dtype=np.float32)
    return PersonMasks(masks=drawn, scores=scores)


def test_the_surer_person_is_in_front_wherever_it_is_listed() -> None:
    for scores in ((0.9, 0.6), (0.6, 0.9)):
        people, index = index_people([scored(s) for s in scores], bands(slice(0, 5), slice(3, 8)))
        front = 1 + int(np.argmax(scores))
        assert (index[:, 3:5] == front).all()
        assert [p.mask_area_px for p in people] == [int((index == i).sum()) for i in (1, 2)]
        assert sum(p.mask_area_px or 0 for p in people) == 32


def test_of_equal_scores_the_first_is_in_front() -> None:
    _, index = index_people([scored(0.5), scored(0.5)], bands(slice(0, 8), slice(0, 8)))
    assert (index == 1).all()


def test_numbers_count_everybody_and_only_the_fit_get_a_mask() -> None:
    crowd = [scored(0.9, passes=False), scored(0.8), scored(0.7, passes=False), scored(0.6)]
    people, index = index_people(crowd, bands(slice(0, 2), slice(6, 8)))
    assert set(np.unique(index)) == {0, 2, 4}
    assert [p.mask_area_px for p in people] == [None, 8, None, 8]
    assert [p.mask_score for p in people] == [None, 0.5, None, 0.7]
    assert index.dtype == np.uint8


def test_the_masks_must_be_those_of_the_fit() -> None:
    with pytest.raises(ValueError, match="1 people pass the gate, got 2 masks"):
        index_people([scored(0.9)], bands(slice(0, 2), slice(6, 8)))
