"""The committed pose and mask models do their work on drawn people whom they have not seen."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open

from demo.embedded import BODIES_DIR, JUDGE_DIR, POSE_PX
from demo.train.judge import softened
from demo.train.sam import box_prompt_iou
from demo.train.scoring import keypoint_error_px, mask_iou, oks_average_precision
from demo.world.faults import render_faulty
from demo.world.scene_store import SIZE_PX, TRAIN_FIRST_SEED, DrawnScenes, draw_scenes
from demo.world.scenes import Scene, render_scene
from hcp.evaluation.bodies import load_bodies
from priors.config import ModelConfig
from priors.models import load_masks, load_pose
from storage.records import Person

WEIGHTS = Path(__file__).parents[2] / "demo" / "weights"
POSE, SAM = WEIGHTS / "pose", WEIGHTS / "sam"
TEACHER = ModelConfig(weights=str(POSE), imgsz=POSE_PX)
JUDGE = ModelConfig(weights=str(JUDGE_DIR), imgsz=POSE_PX)
SEEDS = range(2_500_000, 2_500_060)


@pytest.fixture(scope="module")
def scenes() -> DrawnScenes:
    return draw_scenes(SEEDS)


@pytest.fixture(scope="module")
def found(scenes: DrawnScenes) -> list[list[Person]]:
    return load_pose(TEACHER)(list(scenes.images))


@pytest.mark.parametrize(
    ("path", "limit_bytes"),
    [
        (POSE / "model.safetensors", 3_200_000),
        (JUDGE_DIR / "model.safetensors", 3_000_000),
        (SAM / "model.safetensors", 4_200_000),
        (BODIES_DIR / "model.safetensors", 1_000_000),
    ],
)
def test_weights_are_small_and_half_precision(path: Path, limit_bytes: int) -> None:
    assert path.stat().st_size <= limit_bytes
    with safe_open(path, framework="np") as tensors:
        kinds = {tensors.get_slice(name).get_dtype() for name in tensors.keys()}  # noqa: SIM118  # not a dict
    assert kinds <= {"F16", "I64"}


@pytest.mark.parametrize("folder", [POSE, SAM])
def test_the_record_of_the_training_is_beside_the_weights(folder: Path) -> None:
    record = json.loads((folder / "TRAINING.json").read_text())
    # The command of its time: the record counts in the weights' digest, and so in fingerprints.
    assert record["command"].startswith("python -m demo.train_")
    assert record["steps"] > 0
    trained = range(TRAIN_FIRST_SEED, TRAIN_FIRST_SEED + record["scenes"])
    assert not set(trained) & set(SEEDS)


def test_pose_precision(scenes: DrawnScenes, found: list[list[Person]]) -> None:
    assert oks_average_precision(scenes, found) >= 0.80


def test_pose_passes_its_own_gate_and_finds_nobody_in_empty_scenes(
    scenes: DrawnScenes, found: list[list[Person]]
) -> None:
    sure = [[p for p in people if p.score >= 0.35] for people in found]
    truth = [len(scenes.people_of(index)) for index in range(len(sure))]
    assert 0 in truth
    right = np.mean([len(people) == count for people, count in zip(sure, truth, strict=True)])
    assert right >= 0.85
    confident = [np.mean([c >= 0.3 for _, _, c in p.keypoints]) for people in sure for p in people]
    assert np.mean(confident) >= 0.85


def test_pose_on_soft_pictures(scenes: DrawnScenes) -> None:
    """Pictures of the tiny diffusion model are 128 px, blown up."""
    soft = [
        np.asarray(
            Image.fromarray(image)
            .resize((128, 128), Image.Resampling.BOX)
            .resize((SIZE_PX, SIZE_PX), Image.Resampling.BILINEAR)
        )
        for image in scenes.images
    ]
    assert oks_average_precision(scenes, load_pose(TEACHER)(soft)) >= 0.75


def test_the_judge_of_poses_errs_no_more_than_its_record_says(scenes: DrawnScenes) -> None:
    record = json.loads((JUDGE_DIR / "TRAINING.json").read_text())
    assert record["teacher"]["held_out_oks_ap"] > 0.75  # the same scenes, for comparison
    judge = load_pose(JUDGE)
    for name, seen in (("held_out", scenes), ("held_out_soft", softened(scenes, every=1))):
        found = judge(list(seen.images))
        assert oks_average_precision(seen, found) >= record[f"{name}_oks_ap"] - 0.06
        assert keypoint_error_px(seen, found) <= 1.25 * record[f"{name}_keypoint_error_px"]


def test_box_prompts(scenes: DrawnScenes) -> None:
    assert box_prompt_iou(SAM, scenes) >= 0.90


def test_pose_and_masks_together(scenes: DrawnScenes, found: list[list[Person]]) -> None:
    """The path of production: detected boxes and keypoints prompt the masks."""
    results = load_masks(ModelConfig(weights=str(SAM)))(list(scenes.images), found)
    best: list[float] = []
    scores: list[float] = []
    for index, result in enumerate(results):
        truths = [scenes.mask(person) for person in scenes.people_of(index)]
        for mask, score in zip(result.masks, result.scores, strict=True):
            best.append(max((mask_iou(mask, truth) for truth in truths), default=0.0))
            scores.append(float(score))
    assert np.mean(best) >= 0.85
    assert np.mean(np.abs(np.array(best) - np.array(scores))) < 0.15


def test_the_body_judge_prefers_sound_bodies_and_says_what_it_sees() -> None:
    judge = load_bodies(BODIES_DIR)

    def soundness(scene: Scene) -> float:
        body = Person(bbox_xyxy_px=scene.people[0].bbox_xyxy_px, score=1.0, keypoints=())
        return judge([scene.image], [[body]])[0][0]

    seeds = range(2_700_000, 2_700_020)
    for fault in ("fused", "smeared_face", "head_turned", "cut_body"):
        right = [
            soundness(render_scene(seed, size_px=128, people=1))
            > soundness(render_faulty(seed, fault, size_px=128))
            for seed in seeds
        ]
        assert np.mean(right) >= 0.8, fault
    assert judge.sees is not None
    assert judge.sees.pairs >= 500
    assert {"fused", "cut_body"} <= set(judge.sees.seen("people_score"))
