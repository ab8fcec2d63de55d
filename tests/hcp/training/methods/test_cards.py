"""The card of a checkpoint for use."""

import json
from pathlib import Path

import pytest
from diffusers import StableDiffusionPipeline

from hcp.checkpoint import METHOD_CARD
from hcp.sites import Site
from hcp.training.methods.cards import MethodCard
from hcp.training.methods.lora import LORA_FILE
from hcp.training.state import save_checkpoint
from storage.checkpoints import listed_files
from tests.hcp.training.methods.short_runs import (
    trainer_of,
)


def test_files_for_use(pipeline: StableDiffusionPipeline, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c", trainer_of(pipeline, "attention"))
    files = listed_files(str(tmp_path / "c"))
    assert {name for name in files if "trainer_state" not in name} == {LORA_FILE, METHOD_CARD}
    card = json.loads((tmp_path / "c" / METHOD_CARD).read_text())
    assert card["settings"]["lora"]["rank"] == 2
    assert set(card["settings"]) == {"lora", "alignment", "layers"}


CARD = MethodCard(
    method="lora", settings={"rank": 2}, base_fingerprint={"a": 1.0}, step=3, teachers=("d1",),
    sites=(Site(name="mid.attn2", stage="mid", scale=8, text_dim=4, inner_dim=8),),
)  # fmt: skip


def test_a_card_comes_back_as_it_was_written() -> None:
    assert MethodCard.from_json(CARD.to_json()) == CARD


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 2}, "not of the format 1"),
        ({"sites": [{"name": "x"}]}, "missing or of the wrong type"),
        ({"colour": "red"}, "missing or of the wrong type"),
    ],
)
def test_what_is_no_card_of_this_version_is_refused(change: dict, said: str) -> None:
    content = json.dumps(json.loads(CARD.to_json()) | change).encode()
    with pytest.raises(ValueError, match=said):
        MethodCard.from_json(content)
