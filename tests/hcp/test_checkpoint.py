"""Checkpoints: complete or not there, exact, and without pickles."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, save

from hcp.checkpoint import (
    CARD,
    WEIGHTS,
    AdapterCard,
    file_in,
    read_checkpoint,
    write_checkpoint,
)
from hcp.config import HcpConfig
from hcp.sites import Site
from storage.checkpoints import COMPLETE_NAME as MARKER
from storage.checkpoints import listed_files, mark_complete, verify_checkpoint
from storage.errors import CheckpointError
from tests.left_files import LEFT

CARD_DATA = AdapterCard(
    config=HcpConfig(width=4),
    sites=(Site(name="mid_block.attn2", stage="mid", scale=8, text_dim=3, inner_dim=2),),
    base_fingerprint={"mid_block.attn2": 0.25},
    base_model="some/base",
    dataset_version="abc",
    step=7,
)
TENSORS = {"hcp.a.phi.0.weight": torch.arange(12.0).view(4, 3).T, "hcp.a.gate": torch.tensor(0.5)}


@pytest.fixture
def written(tmp_path: Path) -> Path:
    write_checkpoint(str(tmp_path / "c"), TENSORS, CARD_DATA)
    return tmp_path / "c"


def test_round_trip_is_exact(written: Path) -> None:
    card, tensors = read_checkpoint(str(written))
    assert card == CARD_DATA
    assert set(tensors) == set(TENSORS)
    assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)
    assert {p.name for p in written.iterdir()} == {WEIGHTS, CARD, MARKER}


def test_the_same_content_gives_the_same_bytes(written: Path, tmp_path: Path) -> None:
    write_checkpoint(str(tmp_path / "again"), TENSORS, CARD_DATA)
    for name in (WEIGHTS, CARD, MARKER):
        assert (tmp_path / "again" / name).read_bytes() == (written / name).read_bytes()


def test_object_stores_work_too() -> None:
    uri = "memory://bucket/checkpoint"
    write_checkpoint(uri, TENSORS, CARD_DATA)
    assert read_checkpoint(uri)[0] == CARD_DATA


def test_an_unfinished_checkpoint_does_not_load(written: Path) -> None:
    (written / MARKER).unlink()
    with pytest.raises(CheckpointError, match="never finished"):
        read_checkpoint(str(written))


def test_a_marker_that_cannot_be_read_is_not_told_as_never_finished(written: Path) -> None:
    (written / MARKER).unlink()
    (written / MARKER).mkdir()  # an OSError that is no FileNotFoundError
    with pytest.raises(CheckpointError, match="Is a directory") as caught:
        read_checkpoint(str(written))
    assert "never finished" not in str(caught.value)


def test_overwriting_replaces_all_of_it(written: Path) -> None:
    write_checkpoint(str(written), {"hcp.b": torch.ones(1)}, CARD_DATA)
    assert set(read_checkpoint(str(written))[1]) == {"hcp.b"}


@pytest.mark.parametrize("name", [WEIGHTS, CARD])
def test_changed_bytes_do_not_load(written: Path, name: str) -> None:
    blob = bytearray((written / name).read_bytes())
    blob[-3] ^= 1
    (written / name).write_bytes(blob)
    with pytest.raises(CheckpointError, match="changed after it was written"):
        read_checkpoint(str(written))


@pytest.mark.parametrize("name", [WEIGHTS, CARD])
def test_missing_files_are_named(written: Path, name: str) -> None:
    (written / name).unlink()
    with pytest.raises(CheckpointError, match=f"{name} cannot be read"):
        read_checkpoint(str(written))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "format 2"),
        ({"hcp": {"width": -1}}, "width"),
        ({"sites": [{"name": "x"}]}, "missing or of the wrong type"),
        ({"base_fingerprint": None}, "missing or of the wrong type"),
    ],
)
def test_a_card_that_cannot_be_read_is_refused(
    written: Path, change: dict[str, object], message: str
) -> None:
    card = {**json.loads((written / CARD).read_text()), **change}
    (written / CARD).write_text(json.dumps(card))
    mark_complete(str(written), (WEIGHTS, CARD))
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(str(written))


def test_a_broken_marker_or_foreign_weights_are_refused(written: Path) -> None:
    (written / WEIGHTS).write_bytes(b"not safetensors at all")
    mark_complete(str(written), (WEIGHTS, CARD))
    with pytest.raises(CheckpointError, match=WEIGHTS):
        read_checkpoint(str(written))
    mark_complete(str(written), (CARD,))
    with pytest.raises(CheckpointError, match="does not list"):
        read_checkpoint(str(written))
    (written / MARKER).write_text("{}")
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_checkpoint(str(written))


def test_verification_covers_the_trainer_state(written: Path) -> None:
    (written / "trainer_state").mkdir()
    (written / "trainer_state" / "loader.json").write_text("{}")
    mark_complete(str(written), (WEIGHTS, CARD, "trainer_state/loader.json"))
    verify_checkpoint(str(written))
    assert set(listed_files(str(written))) == {WEIGHTS, CARD, "trainer_state/loader.json"}
    (written / "trainer_state" / "loader.json").write_text("{ }")
    read_checkpoint(str(written))
    with pytest.raises(CheckpointError, match=r"loader\.json"):
        verify_checkpoint(str(written))


def test_half_precision_halves_the_file_and_keeps_what_is_no_float(tmp_path: Path) -> None:
    tensors = {"w": torch.linspace(-3, 3, 4096), "n": torch.arange(3)}
    sizes = {}
    for dtype in (None, torch.float16, torch.bfloat16):
        place = tmp_path / str(dtype)
        write_checkpoint(str(place), tensors, CARD_DATA, dtype=dtype)
        found = read_checkpoint(str(place))[1]
        assert found["w"].dtype == (dtype or torch.float32)
        assert torch.equal(found["w"], tensors["w"].to(found["w"].dtype))
        assert torch.equal(found["n"], tensors["n"])
        sizes[dtype] = (place / WEIGHTS).stat().st_size
    assert sizes[torch.float16] == sizes[torch.bfloat16] < 0.53 * sizes[None]


def test_weights_beyond_half_precision_are_told_and_an_export_keeps_them(
    written: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = (written / WEIGHTS).read_bytes()
    huge = {"w": torch.tensor([1.0, 1e6])}
    with pytest.raises(ValueError, match=r"w has numbers up to 1e\+06.*bfloat16"):
        write_checkpoint(str(written), huge, CARD_DATA, dtype=torch.float16)
    assert (written / WEIGHTS).read_bytes() == before
    assert (written / MARKER).exists()
    content = save(huge, metadata={"format": "pt"})
    assert file_in("float16", "a/w.safetensors", content) == content
    assert "exported as it was trained" in caplog.text
    rounded = file_in("bfloat16", "a/w.safetensors", content)
    assert load(rounded)["w"].dtype == torch.bfloat16
    assert b'"__metadata__":{"format":"pt"}' in rounded
    assert file_in("float16", CARD, b"{}") == b"{}"


def test_the_teachers_come_back_and_an_older_card_has_none(tmp_path: Path) -> None:
    card = replace(CARD_DATA, teachers=("ab" * 32, ""))
    write_checkpoint(str(tmp_path / "c"), TENSORS, card)
    assert read_checkpoint(str(tmp_path / "c"))[0] == card
    older = {k: v for k, v in CARD_DATA.to_json().items() if k != "teachers"}
    assert AdapterCard.from_json(json.loads(json.dumps(older, default=list))).teachers == ()


@pytest.mark.parametrize("kind", ["lfs", "html"])
@pytest.mark.parametrize("name", [WEIGHTS, CARD, MARKER])
def test_b03_what_a_download_left_is_named(name: str, kind: str, written: Path) -> None:
    data, said = LEFT[kind]
    (written / name).write_bytes(data)
    for read in (read_checkpoint, verify_checkpoint):
        with pytest.raises(CheckpointError, match=said) as refused:
            read(str(written))
        assert name in str(refused.value)


def test_b03_a_pointer_that_was_marked_complete_is_named(written: Path) -> None:
    (written / WEIGHTS).write_bytes(LEFT["lfs"][0])
    mark_complete(str(written), (WEIGHTS, CARD))
    with pytest.raises(CheckpointError, match="Git LFS pointer"):
        read_checkpoint(str(written))
