"""The drawn photo folder and its COCO ground truth."""

import contextlib
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from demo.world.dataset import ground_truth, photo_name, run_lengths, write_folder
from demo.world.scenes import render_scene
from storage.sources import open_source


def test_folder_holds_photos_with_their_captions(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, n=3, seed=40)
    records = {record.uri: record for record in open_source(str(tmp_path))}
    assert set(records) == set(folder.seeds) == {photo_name(i) for i in range(3)}
    for name, seed in folder.seeds.items():
        scene = render_scene(seed)
        assert records[name].caption == scene.caption
        pixels = np.asarray(Image.open(tmp_path / name)).astype(int)
        assert np.abs(pixels - scene.image).mean() < 4  # JPEG, not another scene


def test_same_arguments_write_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_folder(tmp_path / name, n=2, seed=7, defects=True)
    files = sorted(p.name for p in (tmp_path / "a").iterdir())
    assert files == sorted(p.name for p in (tmp_path / "b").iterdir())
    assert all(
        (tmp_path / "a" / f).read_bytes() == (tmp_path / "b" / f).read_bytes() for f in files
    )


def test_defects_are_really_broken(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, n=1, defects=True)
    assert set(folder.defects.values()) == {"unreadable", "no_caption", "too_small"}
    with pytest.raises(UnidentifiedImageError):
        Image.open(tmp_path / "defect-not-an-image.jpg")
    with pytest.raises(OSError, match="truncated"):
        Image.open(tmp_path / "defect-truncated.jpg").load()
    assert not (tmp_path / "defect-no-caption.txt").exists()
    assert max(Image.open(tmp_path / "defect-too-small.jpg").size) < 256


def test_write_folder_refuses_nothing_to_write(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="n must be >= 1"):
        write_folder(tmp_path, n=0)


def test_ground_truth_scores_itself_perfectly() -> None:
    scenes = [render_scene(seed, people=1 + seed % 3) for seed in range(6)]
    truth = ground_truth(scenes)
    results = [
        {**{k: a[k] for k in ("image_id", "category_id", "keypoints")}, "score": 0.9}
        for a in truth["annotations"]
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = truth
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(results), "keypoints")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
        masks = {a["id"]: coco.annToMask(a) for a in truth["annotations"]}
    assert evaluation.stats[0] == pytest.approx(1.0)
    people = [person for scene in scenes for person in scene.people]
    assert all((masks[i + 1] > 0).sum() == p.mask.sum() for i, p in enumerate(people))


def test_run_lengths_of_a_small_mask() -> None:
    mask = np.array([[True, False], [True, True]])
    assert run_lengths(mask) == {"size": [2, 2], "counts": [0, 2, 1, 1]}
