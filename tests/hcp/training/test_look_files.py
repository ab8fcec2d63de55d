"""What was seen of a training, on disk."""

import json
from pathlib import Path

from hcp.training.look_files import LookFiles, read_validations, validations_beside
from hcp.training.watching import RunStart, SampleGrid, Validation


def seen(step: int, loss: float = 1.0) -> Validation:
    return Validation(step=step, loss=loss, by_noise_level={"0.1": loss}, photos=3)


def test_validations_and_pictures_lie_in_the_run_s_folder(tmp_path: Path) -> None:
    files = LookFiles(str(tmp_path))
    for event in (RunStart(run="r", folder=""), seen(0), SampleGrid(step=0, png=b"x"), seen(5)):
        files(event)
    assert (tmp_path / "samples" / "step-00000000.png").read_bytes() == b"x"
    assert validations_beside(str(tmp_path / "metrics.jsonl")) == (seen(0), seen(5))
    assert validations_beside(str(tmp_path / "other" / "metrics.jsonl")) == ()


def test_a_run_that_goes_on_from_an_earlier_step_has_each_step_once(tmp_path: Path) -> None:
    first = LookFiles(str(tmp_path))
    for step in (0, 5, 10):
        first(seen(step))
    again = LookFiles(str(tmp_path))
    again(seen(5, 2.0))
    assert read_validations(str(tmp_path / "validation.jsonl")) == (seen(0), seen(5, 2.0))


def test_lines_of_a_later_version_are_read(tmp_path: Path) -> None:
    line = {"step": 3, "loss": 0.5, "photos": 1, "new": [1]}
    (tmp_path / "validation.jsonl").write_text(json.dumps(line) + "\n")
    (found,) = read_validations(str(tmp_path / "validation.jsonl"))
    assert (found.step, found.loss) == (3, 0.5)
