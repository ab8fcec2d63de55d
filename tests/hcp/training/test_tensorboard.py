"""TensorBoard's event files, read back."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hcp.training.metrics import StepMetrics
from hcp.training.tensorboard import EventFiles
from hcp.training.watching import RunStart, SampleGrid, Validation

pytest.importorskip("tensorboardX")


def step(number: int, loss: float = 1.0) -> StepMetrics:
    return StepMetrics(
        step=number, loss=loss, denoise=1.0, alignment=0.5, learning_rate=1e-4, grad_norm=1.0,
        images_per_s=2.0, epoch=0, alignment_by_stage={"mid": 0.25},
    )  # fmt: skip


def grid(number: int) -> SampleGrid:
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(buffer, "PNG")
    return SampleGrid(step=number, png=buffer.getvalue())


def scalars(folder: Path) -> list[tuple[str, int, float]]:
    """Every scalar that a reader shows: a session that starts at a step hides what was there."""
    from tensorboardX.proto.event_pb2 import Event

    found: list[tuple[str, int, float]] = []
    for path in sorted(folder.glob("events.*"), key=lambda p: p.stat().st_mtime_ns):
        data, at = path.read_bytes(), 0
        while at < len(data):
            length = int.from_bytes(data[at : at + 8], "little")
            event = Event.FromString(data[at + 12 : at + 12 + length])
            at += 16 + length
            if event.HasField("session_log") and event.session_log.status == 1:
                found = [each for each in found if each[1] < event.step]
            for value in event.summary.value:
                if value.HasField("simple_value"):
                    found.append((value.tag, event.step, value.simple_value))
                else:
                    found.append((value.tag, event.step, float(value.image.width)))
    return found


def losses(folder: Path) -> list[tuple[int, float]]:
    return [(at, value) for tag, at, value in scalars(folder) if tag == "loss"]


def test_steps_validation_and_pictures_are_written(tmp_path: Path) -> None:
    files = EventFiles(str(tmp_path))
    seen = Validation(step=0, loss=0.5, by_noise_level={"0.1": 0.25}, attention_share=0.75)
    for event in (RunStart(run="r", folder=str(tmp_path)), seen, grid(0), step(1), step(2)):
        files(event)
    files.close()
    found = scalars(tmp_path / "tensorboard")
    assert {
        ("validation/loss", 0, 0.5), ("validation/loss_at/0.1", 0, 0.25),
        ("validation/attention_share", 0, 0.75), ("samples", 0, 4.0), ("alignment/mid", 2, 0.25),
    } <= set(found)  # fmt: skip
    assert losses(tmp_path / "tensorboard") == [(1, 1.0), (2, 1.0)]


def test_a_step_that_comes_again_is_shown_once(tmp_path: Path) -> None:
    first = EventFiles(str(tmp_path))
    for event in (RunStart(run="r", folder=str(tmp_path)), step(1), step(2), step(3)):
        first(event)
    first.close()
    second = EventFiles(str(tmp_path))
    start = RunStart(run="r", folder=str(tmp_path), last_step=3)
    for event in (start, step(2, 5.0), step(3, 5.0), step(3, 7.0), step(4, 7.0)):
        second(event)
    second.close()
    expected = [(1, 1.0), (2, 5.0), (3, 7.0), (4, 7.0)]
    assert losses(tmp_path / "tensorboard") == expected


def test_an_object_store_gets_the_file(tmp_path: Path) -> None:
    import fsspec

    files = EventFiles("memory://runs/one")
    for event in (RunStart(run="r", folder="memory://runs/one"), step(1), step(2)):
        files(event)
    files.close()
    store = fsspec.filesystem("memory")
    (stored,) = store.ls("/runs/one/tensorboard", detail=False)
    (tmp_path / "events.stored").write_bytes(store.cat_file(stored))
    assert losses(tmp_path) == [(1, 1.0), (2, 1.0)]
