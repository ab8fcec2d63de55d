"""Ultralytics networks as plain modules, and the package kept from its side effects."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from priors.config import ModelConfig
from priors.weights import ResolvedWeights, resolve_weights
from priors.yolo import PAD_VALUE, YoloNetwork, import_ultralytics, letterbox, load_yolo
from storage.errors import WeightsError
from tests.left_files import LEFT

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("height", "width"), [(480, 640), (640, 427), (333, 500), (640, 640), (32, 900), (1001, 77)]
)
def test_the_letterbox_is_ultralytics_own(height: int, width: int) -> None:
    import_ultralytics()
    from ultralytics.data.augment import LetterBox

    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    expected: Any = LetterBox((320, 320), auto=False)(image=image)
    np.testing.assert_array_equal(letterbox(image, 320), expected)


def test_the_letterbox_is_grey_beside_a_centred_photo() -> None:
    square = letterbox(np.zeros((10, 40, 3), dtype=np.uint8), 80)
    assert square.shape == (80, 80, 3)
    assert (square[:30] == PAD_VALUE).all()
    assert (square[30:50] == 0).all()
    assert (square[50:] == PAD_VALUE).all()


def test_a_loaded_network_is_frozen_and_ready(tiny_pose: Path) -> None:
    model = load_yolo(resolve_weights(tiny_pose), task="pose")
    assert not model.training
    assert not any(p.requires_grad for p in model.parameters())
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in model.modules())  # fused


def test_damaged_weights_are_named(tiny_pose: Path) -> None:
    path = tiny_pose / "model.safetensors"
    assert load_file(path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(WeightsError, match=str(path.parent)):
        load_yolo(resolve_weights(tiny_pose), task="pose")


def test_detections_do_not_depend_on_the_batch(tiny_pose: Path) -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (h, w, 3), dtype=np.uint8) for h, w in ((60, 90), (64, 64))]
    images.append(images[0])

    def rows(batch_size: int) -> list[torch.Tensor]:
        model: Any = load_yolo(resolve_weights(tiny_pose), task="pose")
        with torch.no_grad():
            for branch in model.model[-1].cv3:  # an untrained network is sure of nobody
                branch[-1].bias.fill_(1.0)
        network = YoloNetwork(
            model, ModelConfig(imgsz=64, batch_size=batch_size, half=True), device="cpu"
        )
        assert network.detect([]) == []
        found = network.detect(images)
        assert [protos for _, protos in found] == [None] * 3
        return [row for row, _ in found]

    alone, by_two = rows(1), rows(2)
    assert all(len(row) > 0 for row in alone)
    for one, two in zip(alone, by_two, strict=True):
        assert one.shape[1] == 6 + 17 * 3
        torch.testing.assert_close(one, two)


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


@pytest.mark.parametrize("name", ["model.safetensors", "model.yaml"])
@pytest.mark.parametrize("kind", ["lfs", "html", "empty"])
def test_b03_what_a_download_left_in_a_pose_folder_is_named(
    kind: str, name: str, tiny_pose: Path
) -> None:
    weights = resolve_weights(tiny_pose)
    data, said = LEFT[kind]
    (tiny_pose / name).write_bytes(data)
    with pytest.raises(WeightsError, match=said):
        load_yolo(weights, task="pose")


def test_b03_a_pickle_that_is_none_is_named(tmp_path: Path) -> None:
    path = tmp_path / "yolo11n-pose.pt"
    path.write_bytes(b"\x80\x02garbage\xff\xfe\x00")
    weights = ResolvedWeights(path=path, sha256="0" * 64, kind=None)
    with pytest.raises(WeightsError, match=r"cannot load .*yolo11n-pose\.pt"):
        load_yolo(weights, task="pose")
