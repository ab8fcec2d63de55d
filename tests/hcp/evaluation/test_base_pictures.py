"""The base's pictures are kept bit for bit, under all that they depend on."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline

from hcp import HcpAdapter, HcpConfig
from hcp.evaluation.base_pictures import BasePictures
from hcp.evaluation.results import EvaluationConfig
from hcp.evaluation.run import evaluate
from tests.hcp.evaluation.test_run import CONFIG, detector

PICTURES = [np.full((4, 4, 3), i, np.uint8) for i in range(2)]


def kept(folder: Path, config: EvaluationConfig = CONFIG) -> BasePictures:
    return BasePictures(
        folder=str(folder), base="0" * 32, config=config, device="cpu", dtype=torch.float32
    )


def refuse() -> list[np.ndarray]:
    raise AssertionError("drawn again")


def test_pictures_come_back_as_they_were(tmp_path: Path) -> None:
    first = kept(tmp_path).or_drawn(lambda: PICTURES)
    again = kept(tmp_path).or_drawn(refuse)
    for pictures in (first, again):
        assert all(np.array_equal(*pair) for pair in zip(pictures, PICTURES, strict=True))


def test_each_thing_that_shapes_a_picture_names_another_file(tmp_path: Path) -> None:
    mine = kept(tmp_path)
    others = [
        replace(mine, base="1" * 32),
        replace(mine, dtype=torch.float16),
        *(
            kept(tmp_path, replace(CONFIG, **{name: value}))
            for name, value in {
                "prompts": ("a man",), "seeds": (1, 0), "steps": 3, "guidance": 4.0,
                "batch_size": 2,
            }.items()
        ),
    ]  # fmt: skip
    assert len({each.place for each in (mine, *others)}) == 1 + len(others)
    judged = kept(tmp_path, replace(CONFIG, level=0.9, n_resamples=7, max_photos=1))
    assert judged.place == mine.place  # what is made of them changes none


@pytest.mark.parametrize("content", [b"", b"no archive", None])
def test_a_broken_file_is_drawn_again(tmp_path: Path, content: bytes | None) -> None:
    kept(tmp_path).or_drawn(lambda: PICTURES)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-30] if content is None else content)
    kept(tmp_path).or_drawn(lambda: PICTURES)
    kept(tmp_path).or_drawn(refuse)


def test_a_folder_that_cannot_be_written_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert len(kept(tmp_path / "file" / "folder").or_drawn(lambda: PICTURES)) == 2


def test_an_evaluation_of_kept_pictures_says_the_same(
    pipeline: StableDiffusionPipeline, tmp_path: Path
) -> None:
    candidate = HcpAdapter.create(pipeline.unet, HcpConfig(width=16, gamma=3.0))
    seen: list[list[str]] = []
    reports = []
    for base_pictures in (None, kept(tmp_path), kept(tmp_path)):
        names: list[str] = []
        found = evaluate(
            pipeline, candidate, config=CONFIG, detector=detector, base_pictures=base_pictures,
            on_progress=lambda done, total, name, names=names: names.append(name),
        )  # fmt: skip
        seen.append(names)
        reports.append(found.report)
    assert reports[0] == reports[1] == reports[2]
    assert "base" in seen[0]
    assert seen[1] == seen[0]
    assert "base" not in seen[2]  # only the candidate's were drawn
