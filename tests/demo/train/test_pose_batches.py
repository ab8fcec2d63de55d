"""Labels of augmented scenes follow the picture."""

import numpy as np
import torch

from demo.train.pose_batches import make_batch
from demo.world.scene_store import SIZE_PX, DrawnScenes
from storage.records import COCO_KEYPOINTS


def _batch(scenes: DrawnScenes, *, seed: int = 0, size_px: int = 128) -> dict[str, torch.Tensor]:
    rng = np.random.default_rng(seed)
    return make_batch(scenes, np.arange(len(scenes.images)), size_px=size_px, rng=rng)


def test_a_batch_is_a_function_of_its_seed(scenes: DrawnScenes) -> None:
    first, again, other = _batch(scenes), _batch(scenes), _batch(scenes, seed=1)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["img"], other["img"])


def test_labels_lie_in_the_picture_and_belong_to_its_images(scenes: DrawnScenes) -> None:
    batch = _batch(scenes, size_px=SIZE_PX)
    assert batch["img"].shape == (12, 3, SIZE_PX, SIZE_PX)
    assert 0.0 <= float(batch["img"].min()) < float(batch["img"].max()) <= 1.0
    people = len(batch["batch_idx"])
    assert 0 < people <= len(scenes.boxes)
    low = batch["bboxes"][:, :2] - batch["bboxes"][:, 2:] / 2
    high = batch["bboxes"][:, :2] + batch["bboxes"][:, 2:] / 2
    assert float(low.min()) >= -1e-5
    assert float(high.max()) <= 1 + 1e-5
    points = batch["keypoints"]
    assert points.shape == (people, 17, 3)
    seen = points[..., 2] > 0
    assert bool(((points[..., :2] >= 0) & (points[..., :2] < 1)).all())
    assert float(seen.float().mean()) > 0.7


def test_mirrored_people_keep_their_left_and_right(scenes: DrawnScenes) -> None:
    """A person who faces us has the left shoulder at greater x, mirrored or not."""
    left, right = COCO_KEYPOINTS.index("left_shoulder"), COCO_KEYPOINTS.index("right_shoulder")
    facing = scenes.keypoints[:, left, 0] - scenes.keypoints[:, right, 0] > 15
    assert facing.any()
    chosen = np.unique(scenes.scene_of[facing])
    lonely = [int(s) for s in chosen if len(scenes.people_of(int(s))) == 1]
    rng = np.random.default_rng(3)
    batch = make_batch(scenes, np.repeat(lonely, 12), size_px=128, rng=rng)
    both = (batch["keypoints"][:, [left, right], 2] > 0).all(dim=1)
    order = batch["keypoints"][both, left, 0] - batch["keypoints"][both, right, 0]
    assert len(order) >= 6
    assert bool((order > 0).all())
