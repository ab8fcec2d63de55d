"""Masks of given people: Segment Anything as its own predictor does it, and the choice by name."""

from pathlib import Path

import numpy as np
import pytest
import torch
from segment_anything import SamPredictor
from segment_anything.modeling import Sam

from priors.config import ModelConfig
from priors.masks import MAX_POINTS, NOT_A_POINT, SamMasks, empty_masks, point_prompts
from priors.weights import resolve_weights
from storage.errors import WeightsError
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
