"""The body judge: its crops, its files, and what it says of whom."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from hcp.evaluation.bodies import (
    CONFIG_FILE,
    FILL,
    RECORD_FILE,
    WEIGHTS_FILE,
    BodyConfig,
    BodyJudge,
    BodyNetwork,
    body_crop,
    load_bodies,
    save_bodies,
    save_seen_faults,
)
from hcp.evaluation.results import SeenFaults
from storage.errors import WeightsError
from tests.hcp.samples import make_person

TINY = BodyConfig(input_px=16, widths=(4, 4), trained_on="noise")
RECORD = SeenFaults(
    world="noise", pairs=20, enough=0.9, shares={"people_score": {"fused": 0.95, "cut_body": 0.5}}
)


def network() -> BodyNetwork:
    torch.manual_seed(0)
    return BodyNetwork(TINY)


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (40, 60, 3), dtype=np.uint8)


def test_a_crop_is_the_square_about_the_box_and_grey_beyond_the_picture() -> None:
    image = np.full((40, 60, 3), 200, dtype=np.uint8)
    image[10:30, 20:30] = 10
    crop = body_crop(image, (20.0, 10.0, 30.0, 30.0), size_px=20, padding=1.0)
    assert crop.shape == (20, 20, 3)
    assert (crop[:, 6:14] == 10).all()
    assert (crop[:, [0, 1, 18, 19]] == 200).all()
    corner = body_crop(image, (50.0, 0.0, 60.0, 20.0), size_px=40, padding=2.0)
    assert (corner[0, 0] == FILL).all()
    assert (corner[-1, -1] == FILL).all()
    assert (corner[20, 15] == 200).all()


def test_a_saved_judge_says_the_same_again(tmp_path: Path) -> None:
    save_bodies(network(), tmp_path, config=TINY)
    save_seen_faults(RECORD, tmp_path)
    judge = load_bodies(tmp_path)
    assert (judge.config, judge.sees) == (TINY, RECORD)
    images, people = [noise(0)], [[make_person((5, 5, 30, 30))]]
    ours = BodyJudge(network(), TINY)(images, people)
    assert judge(images, people)[0][0] == pytest.approx(ours[0][0], abs=1e-3)  # half precision


def test_everybody_is_judged_in_order_and_alone() -> None:
    judge = BodyJudge(network(), TINY)
    one, other = make_person((0, 0, 20, 20)), make_person((20, 5, 55, 38))
    images = [noise(0), noise(1), noise(2)]
    found = judge(images, [[one, other], [], [other]])
    assert [len(each) for each in found] == [2, 0, 1]
    assert all(0.0 < score < 1.0 for each in found for score in each)
    assert found[0] == pytest.approx([judge(images[:1], [[p]])[0][0] for p in (one, other)])
    assert judge(images, [[], [], []]) == [[], [], []]


@pytest.mark.parametrize("name", [WEIGHTS_FILE, CONFIG_FILE])
def test_a_missing_file_is_named(name: str, tmp_path: Path) -> None:
    save_bodies(network(), tmp_path, config=TINY)
    (tmp_path / name).unlink()
    with pytest.raises(WeightsError, match=rf"{name} is missing; evaluate.bodies"):
        load_bodies(tmp_path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (CONFIG_FILE, json.dumps({"widths": [4, 8], "input_px": 16})),
        (CONFIG_FILE, json.dumps({"widths": [4, 4], "depth": 2})),
        (CONFIG_FILE, "{"),
        (WEIGHTS_FILE, "<!doctype html>"),
        (RECORD_FILE, json.dumps({"pairs": 3})),
    ],
)
def test_files_that_do_not_fit_are_an_error(name: str, content: str, tmp_path: Path) -> None:
    save_bodies(network(), tmp_path, config=TINY)
    (tmp_path / name).write_text(content)
    with pytest.raises(WeightsError, match=f"body judge: .*{name}"):
        load_bodies(tmp_path)


@pytest.mark.parametrize("wrong", [{"widths": ()}, {"input_px": 2}, {"padding": 0.5}])
def test_sizes_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="BodyConfig"):
        BodyConfig(**wrong)  # type: ignore[arg-type]  # wrong on purpose


def test_seen_and_unseen_faults() -> None:
    assert RECORD.seen("people_score") == ["fused"]
    assert RECORD.unseen("people_score") == ["cut_body"]
    assert RECORD.seen("of nobody") == []
