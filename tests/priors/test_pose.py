"""Pose and yolo-seg models: equal to ultralytics' own predict, whatever the batch."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from priors.pose import UltralyticsPose, load_pose
from priors.yolo import import_ultralytics, letterbox, save_yolo
from storage.errors import WeightsError

ROOT = Path(__file__).parents[2]
PHOTOS = 5


@pytest.fixture(scope="module")
def pictures(assets: Path) -> list[NDArray[np.uint8]]:
    """Upright and flat photos, some with people."""
    files = sorted((assets / "photos").iterdir())[:PHOTOS]
    return [np.asarray(Image.open(path).convert("RGB")) for path in files]


@pytest.fixture(scope="module")
def pose(assets: Path) -> UltralyticsPose:
    return UltralyticsPose(assets / "weights" / "yolo11n-pose.pt", batch_size=4)


@pytest.mark.parametrize(
    ("height", "width"), [(480, 640), (640, 427), (333, 500), (640, 640), (32, 900), (1001, 77)]
)
def test_the_letterbox_is_ultralytics_own(height: int, width: int) -> None:
    import_ultralytics()
    from ultralytics.data.augment import LetterBox

    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    expected: Any = LetterBox((320, 320), auto=False)(image=image)
    np.testing.assert_array_equal(letterbox(image, 320), expected)


@pytest.mark.assets
def test_people_equal_those_of_predict(
    pose: UltralyticsPose, pictures: list[NDArray[np.uint8]], assets: Path
) -> None:
    model: Any = import_ultralytics().YOLO(assets / "weights" / "yolo11n-pose.pt")
    found = pose(pictures)
    total = 0
    for picture, people in zip(pictures, found, strict=True):
        expected = model.predict(
            picture[..., ::-1], imgsz=640, rect=False, conf=0.25, verbose=False
        )[0]
        assert len(people) == len(expected.boxes)
        if people:
            points = np.array([p.keypoints for p in people])
            theirs = expected.keypoints.data.numpy()
            assert np.abs(points - theirs)[..., :2].max() < 0.5
            assert np.abs(points - theirs)[..., 2].max() < 0.01
            boxes = np.array([p.bbox_xyxy_px for p in people])
            assert np.abs(boxes - expected.boxes.xyxy.numpy()).max() < 0.5
        scores = [p.score for p in people]
        assert scores == sorted(scores, reverse=True)
        assert all(score >= 0.25 for score in scores)
        total += len(people)
    assert total >= 3


@pytest.mark.assets
def test_repeats_are_equal_and_rounded(
    pose: UltralyticsPose, pictures: list[NDArray[np.uint8]]
) -> None:
    first = pose(pictures[:3])
    assert pose(pictures[:3]) == first
    for person in (p for people in first for p in people):
        assert all(round(v, 2) == v for v in person.bbox_xyxy_px)
        assert all(
            (round(x, 2), round(y, 2), round(c, 4)) == (x, y, c) for x, y, c in person.keypoints
        )
        assert round(person.score, 4) == person.score
        assert not person.passes_gate


@pytest.mark.assets
def test_masks_of_given_people(
    pose: UltralyticsPose, pictures: list[NDArray[np.uint8]], assets: Path
) -> None:
    from dataclasses import replace

    from priors.masks import load_masks
    from priors.yolo_seg import YoloSegMasks

    model = load_masks(assets / "weights" / "yolo11n-seg.pt", batch_size=2)
    assert isinstance(model, YoloSegMasks)
    people = pose(pictures)
    nowhere = replace(people[1][0], bbox_xyxy_px=(0.0, 0.0, 3.0, 3.0))
    given = [*people[:1], [*people[1], nowhere], *people[2:]]
    for picture, asked, found in zip(pictures, given, model(pictures, given), strict=True):
        assert found.masks.shape == (len(asked), *picture.shape[:2])
        assert ((found.scores > 0) == found.masks.any(axis=(1, 2))).all()
        for person, mask, score in zip(asked, found.masks, found.scores, strict=True):
            if person is nowhere:
                assert score == 0
                assert not mask.any()
            elif mask.any():
                left, top, right, bottom = person.bbox_xyxy_px
                rows, columns = np.nonzero(mask)
                assert left - 40 < columns.mean() < right + 40
                assert top - 40 < rows.mean() < bottom + 40
    assert model(pictures, given)[1].scores[0] > 0.5


def test_one_to_one_matching_takes_the_best_pairs() -> None:
    from priors.yolo_seg import match_boxes

    given = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 12], [50, 50, 60, 60]])
    found = torch.tensor([[0.0, 0, 10, 12], [0, 0, 10, 9]])
    assert match_boxes(given, found) == [1, 0, None]
    assert match_boxes(given, found[:0]) == [None, None, None]
    assert match_boxes(given[:0], found) == []


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """An untrained pose network of the smallest scale in the embedded format."""
    import_ultralytics()
    import yaml
    from ultralytics.nn.tasks import PoseModel, yaml_model_load

    config = yaml_model_load("yolo11n-pose.yaml") | {"nc": 1, "kpt_shape": [17, 3]}
    config["scales"] = {"n": [0.33, 0.125, 256]}
    torch.manual_seed(0)
    save_yolo(PoseModel(config, verbose=False), tmp_path / "pose")
    assert yaml.safe_load((tmp_path / "pose" / "model.yaml").read_text())["nc"] == 1
    return tmp_path / "pose"


def test_the_embedded_format_loads_by_directory_and_by_file(tiny: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    (tiny / "model.yaml").rename(tiny / "model.yaml")
    by_directory = load_pose(tiny, imgsz=64)([image])
    by_file = load_pose(tiny / "model.safetensors", imgsz=64)([image])
    assert by_directory == by_file
    assert load_pose(tiny, imgsz=64)([]) == []


def test_weights_of_another_kind_are_refused(tiny: Path, tmp_path: Path) -> None:
    from priors.masks import load_masks

    (tiny / "model.yaml").write_text(
        (tiny / "model.yaml").read_text().replace("- 17\n- 3", "- 5\n- 3")
    )
    with pytest.raises(WeightsError, match=r"model"):
        load_pose(tiny, imgsz=64)
    with pytest.raises(WeightsError, match="segment weights"):
        load_masks(tiny)
    (tiny / "model.yaml").unlink()
    with pytest.raises(WeightsError, match=r"model\.yaml"):
        load_pose(tiny)
    not_a_model = tmp_path / "text.pt"
    not_a_model.write_text("nothing")
    with pytest.raises(WeightsError, match=r"text\.pt"):
        load_pose(not_a_model, trust=True)


@pytest.mark.assets
def test_a_mask_model_is_no_pose_model(assets: Path) -> None:
    with pytest.raises(WeightsError, match="holds a model for 'segment'"):
        load_pose(assets / "weights" / "yolo11n-seg.pt")


def test_the_side_must_fit_the_strides(tiny: Path) -> None:
    with pytest.raises(ValueError, match="multiple of 32"):
        load_pose(tiny, imgsz=100)


def test_importing_ultralytics_leaves_the_machine_alone(tmp_path: Path) -> None:
    code = (
        "from priors.yolo import import_ultralytics\n"
        "import_ultralytics()\n"
        "from ultralytics.utils import SETTINGS, ONLINE, checks\n"
        "assert not any(SETTINGS[k] for k in ('mlflow', 'raytune', 'sync')), dict(SETTINGS)\n"
        "assert not ONLINE and not checks.AUTOINSTALL\n"
        "from ultralytics.utils.callbacks import mlflow, raytune\n"
    )
    home, temporary = tmp_path / "home", tmp_path / "tmp"
    home.mkdir()
    temporary.mkdir()
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("YOLO_", "XDG_"))}
    environment |= {"HOME": str(home), "TMPDIR": str(temporary), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    written = {p.name for p in home.rglob("*") if p.is_file()}
    assert "settings.json" not in written
    assert sorted(p.name for p in tmp_path.iterdir()) == ["home", "tmp"]
