"""Cards beside exported adapters, and a push with everything that a user needs."""

from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import ModelCard, constants

from demo.embedded import SD_DIR
from flows.cards import add_evaluation, push_adapter, write_card
from flows.outcomes import TrainOutcome
from flows.params import TrainParams
from flows.train import export_adapter
from hcp import HcpAdapter
from hcp.base import load_base
from hcp.training.config import TrainConfig
from hcp.training.methods import load_trained, make_method
from hcp.training.methods.protocol import Facts
from storage.checkpoints import COMPLETE_NAME, listed_files, mark_complete, verify_checkpoint
from storage.errors import CheckpointError, HubError
from storage.hub import hub_place
from storage.registry import Registry
from tests.hub_server import Hub

GOLDEN_STEP = next((Path(__file__).parents[1] / "golden" / "training").glob("train-*/step-*"))
REPO = "someone/people"
LOSSES = {"loss": 1.0, "denoise": 0.75, "alignment": 0.5}


@pytest.fixture
def exported(tmp_path: Path) -> str:
    """The golden adapter, exported with its card as train-hcp does it."""
    adapter = export_adapter.fn(str(GOLDEN_STEP), str(tmp_path / "out"))
    outcome = TrainOutcome(
        checkpoint=str(GOLDEN_STEP), adapter=adapter, log="log", dataset="data@0123abcd", steps=2,
        first=LOSSES, last={name: value / 2 for name, value in LOSSES.items()},
    )  # fmt: skip
    given: dict[str, Any] = {"dataset": "data", "base": "embedded", "out": str(tmp_path / "out")}
    params = TrainParams(**given, license="apache-2.0")
    write_card(params, outcome)
    before = (Path(adapter) / "README.md").read_text()
    write_card(TrainParams(**given), outcome)
    assert (Path(adapter) / "README.md").read_text() == before  # one that is there stays
    return adapter


def test_an_exported_adapter_has_a_card_outside_its_digest(exported: str, tmp_path: Path) -> None:
    digest = verify_checkpoint(exported)
    assert "README.md" not in listed_files(exported)
    card = (Path(exported) / "README.md").read_text()
    assert ModelCard(card).data.to_dict()["license"] == "apache-2.0"
    assert "| loss | 1.0000 | 0.5000 |" in card
    assert "0123abcd" in card
    assert str(tmp_path) not in card
    add_evaluation(exported, [{"measure": "people_score", "candidate": 0.5}], verdict="Gate passed",
                   judge="pose.pt")  # fmt: skip
    assert "people_score" in (Path(exported) / "README.md").read_text()
    assert verify_checkpoint(exported) == digest
    assert export_adapter.fn(str(GOLDEN_STEP), str(tmp_path / "out")) == exported


def test_figures_need_a_card_and_a_place_to_write(
    exported: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    figures: dict[str, Any] = {"rows": [], "verdict": "", "judge": ""}
    add_evaluation(str(tmp_path), **figures)
    assert not (tmp_path / "README.md").exists()
    card = Path(exported) / "README.md"
    card.unlink()
    card.mkdir()  # an OSError
    add_evaluation(exported, **figures)
    assert "could not be written" in caplog.text


def test_what_is_pushed_is_the_adapter_with_its_card(hub: Hub, exported: str) -> None:
    name = push_adapter(exported, REPO)
    files = hub.repos[REPO].commits[name.partition("@")[2]]
    assert set(files) == {".gitattributes", "README.md", COMPLETE_NAME, *listed_files(exported)}
    card = files["README.md"].decode()
    assert f'from_pretrained("{REPO}")' in card
    assert "| loss | 1.0000 | 0.5000 |" in card
    expected = HcpAdapter.from_pretrained(exported)
    for loaded in (
        HcpAdapter.from_pretrained(REPO),
        HcpAdapter.from_pretrained(name),
        HcpAdapter.from_pretrained(REPO, revision="main", dtype=torch.float16),
    ):
        assert loaded.card == expected.card
        found = {key: t.float() for key, t in loaded.state_dict().items()}
        assert all(torch.equal(t, found[key]) for key, t in expected.state_dict().items())
    assert verify_checkpoint(hub_place(REPO)) == verify_checkpoint(exported)
    with pytest.raises(ValueError, match="revision"):
        HcpAdapter.from_pretrained(exported, revision="main")


def test_a_checkpoint_to_resume_from_leaves_its_trainer_here(hub: Hub) -> None:
    name = push_adapter(str(GOLDEN_STEP), REPO, private=True, revision="trial")
    files = hub.repos[REPO].commits[name.partition("@")[2]]
    assert not any(file.startswith("trainer_state") for file in files)
    card = files["README.md"].decode()  # made of what the adapter knows itself
    assert "| optimizer steps | 2 |" in card
    assert str(Path.home()) not in card
    assert HcpAdapter.from_pretrained(REPO, revision="trial").card.step == 2
    assert HcpAdapter.from_pretrained(GOLDEN_STEP).card.step == 2


def test_a_copy_of_the_hub_is_pushed_on_and_its_cache_stays(hub: Hub, exported: str) -> None:
    push_adapter(exported, REPO)
    before = (Path(hub_place(REPO)) / "README.md").read_text()
    add_evaluation(hub_place(REPO), [{"measure": "x"}], verdict="", judge="")
    assert (Path(hub_place(REPO)) / "README.md").read_text() == before
    copy = push_adapter(REPO, "someone/copy")
    assert verify_checkpoint(hub_place(copy)) == verify_checkpoint(exported)


@pytest.mark.slow
def test_a_registered_adapter_is_pushed_by_its_registry_uri(
    hub: Hub, exported: str, tmp_path: Path
) -> None:
    tracking = f"sqlite:///{tmp_path / 'registry.db'}"
    entry = Registry(tracking).register("hcp", checkpoint_uri=exported, metrics={}, tags={})
    push_adapter(entry.registry_uri, REPO, registry=tracking)
    assert verify_checkpoint(hub_place(REPO)) == entry.digest


def test_what_does_not_load_is_not_pushed(hub: Hub, exported: str, tmp_path: Path) -> None:
    weights = Path(exported) / "adapter.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    with pytest.raises(CheckpointError, match="changed"):
        push_adapter(exported, REPO)
    with pytest.raises(CheckpointError, match="never finished"):
        push_adapter(str(tmp_path), REPO)
    with pytest.raises(HubError, match="no such repository"):
        push_adapter("someone/unknown", REPO)
    assert not hub.repos
    assert hub.endpoint == constants.ENDPOINT


@pytest.mark.parametrize("method", ["lora", "full"])
def test_what_another_method_trained_is_pushed_and_found_again(
    hub: Hub, tmp_path: Path, method: str
) -> None:
    base = load_base(SD_DIR)
    trained = make_method(base, TrainConfig(method=method), base_model="embedded")
    names = trained.save(str(tmp_path / "c"), Facts(step=3))
    trained.close()
    mark_complete(str(tmp_path / "c"), names)
    name = push_adapter(str(tmp_path / "c"), REPO)
    pushed = hub.repos[REPO].commits[name.partition("@")[2]]
    assert set(pushed) == {".gitattributes", "README.md", COMPLETE_NAME, *names}
    assert f"| method | `{method}` |" in pushed["README.md"].decode()
    assert (load_trained(name).card.method, load_trained(name).card.step) == (method, 3)
    with pytest.raises(CheckpointError, match=f"method '{method}'"):
        HcpAdapter.from_pretrained(name)
