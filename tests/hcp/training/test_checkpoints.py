"""Which checkpoints of a run stay, and which one a restart takes."""

from collections.abc import Iterable
from pathlib import Path

import pytest
from diffusers import StableDiffusionPipeline

from hcp import HcpConfig
from hcp.checkpoint import CARD, WEIGHTS
from hcp.training import state
from hcp.training.checkpoints import CheckpointFolder, Kept, best_of
from hcp.training.config import TrainConfig
from hcp.training.state import STATE_TENSORS
from hcp.training.trainer import Trainer
from storage.checkpoints import COMPLETE_NAME, mark_complete
from storage.errors import CheckpointError


@pytest.fixture
def trainer(pipeline: StableDiffusionPipeline) -> Trainer:
    """Before its first step: the optimizer has no state yet."""
    return Trainer(pipeline, TrainConfig(steps=99, hcp=HcpConfig(width=4, stages=("mid",))))


def save(folder: CheckpointFolder, trainer: Trainer, step: int, loss: float | None = None) -> None:
    trainer.step_done = step
    assert folder.save(trainer, validation_loss=loss) is None


def steps(folder: CheckpointFolder) -> list[int]:
    return [kept.step for kept in folder.finished()]


def test_the_last_ones_and_the_best_stay(trainer: Trainer, tmp_path: Path) -> None:
    folder = CheckpointFolder(str(tmp_path / "run"), keep=2)
    assert folder.finished() == []
    assert folder.newest_whole() is None
    for step, loss in ((1, 0.9), (2, 0.3), (3, 0.5), (4, None), (5, 0.4)):
        save(folder, trainer, step, loss)
    assert steps(folder) == [2, 4, 5]
    top, newest = best_of(folder.finished()), folder.newest_whole()
    assert top is not None
    assert (top.step, top.validation_loss) == (2, 0.3)
    assert newest is not None
    assert newest.step == 5
    save(folder, trainer, 6, 0.1)
    assert steps(folder) == [5, 6]


def test_of_equals_the_later_is_best_and_without_validation_none() -> None:
    kept = [Kept(step=i, uri=str(i), validation_loss=0.5) for i in (1, 2)]
    top = best_of(kept)
    assert top is not None
    assert top.step == 2
    assert best_of([Kept(step=1, uri="1")]) is None
    nan = Kept(step=3, uri="3", validation_loss=float("nan"))
    assert best_of([nan, *kept]) == kept[1]
    assert best_of([*kept, nan]) == kept[1]


def test_who_is_killed_while_writing_leaves_no_checkpoint_without_its_state(
    trainer: Trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = CheckpointFolder(str(tmp_path / "run"))
    save(folder, trainer, 1)

    def killed(uri: str, files: Iterable[str]) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(state, "mark_complete", killed)  # the last thing that is done
        with pytest.raises(KeyboardInterrupt):
            save(folder, trainer, 2)
    assert steps(folder) == [1]
    mark_complete(str(tmp_path / "run" / "step-00000002"), (WEIGHTS, CARD))  # as versions before
    assert steps(folder) == [1]
    newest = folder.newest_whole()
    assert newest is not None
    assert newest.step == 1
    save(folder, trainer, 2)
    assert steps(folder) == [1, 2]


def test_a_damaged_checkpoint_is_left_out_and_half_a_one_does_not_count(
    trainer: Trainer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = CheckpointFolder(str(tmp_path), keep=3)
    for step in (1, 2, 3):
        save(folder, trainer, step)
    (tmp_path / "step-00000003" / COMPLETE_NAME).unlink()  # killed before the marker
    (tmp_path / "step-00000002" / STATE_TENSORS).write_bytes(b"")
    newest = folder.newest_whole()
    assert newest is not None
    assert newest.step == 1
    assert "step-00000002" in caplog.text
    (tmp_path / "step-00000001" / STATE_TENSORS).unlink()
    with pytest.raises(CheckpointError, match="is whole"):
        folder.newest_whole()
    save(folder, trainer, 3)
    save(folder, trainer, 4)
    assert steps(folder) == [2, 3, 4]


def test_a_later_checkpoint_of_a_run_taken_up_before_it_stays(
    trainer: Trainer, tmp_path: Path
) -> None:
    folder = CheckpointFolder(str(tmp_path), keep=1)
    save(folder, trainer, 9)
    save(folder, trainer, 5)
    assert steps(folder) == [5, 9]


def test_what_cannot_be_written_is_counted_and_leaves_the_others(
    trainer: Trainer, tmp_path: Path
) -> None:
    folder = CheckpointFolder(str(tmp_path), keep=1)
    save(folder, trainer, 1)
    (tmp_path / "step-00000002").write_text("a file where the folder would be")
    trainer.step_done = 2
    problem = folder.save(trainer)
    assert problem is not None
    assert "step-00000002" in problem
    assert folder.failed == 1
    assert steps(folder) == [1]


def test_those_of_the_version_before_are_found() -> None:
    """Ray Train wrote them, and a list of its own beside them."""
    (run,) = (Path(__file__).parents[2] / "golden" / "training").glob("train-*")
    newest = CheckpointFolder(str(run)).newest_whole()
    assert newest is not None
    assert (newest.step, newest.validation_loss) == (2, None)
