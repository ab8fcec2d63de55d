"""promote and rollback, on a real registry."""

import json
from pathlib import Path

import pytest

from storage.checkpoints import mark_complete
from storage.errors import RegistryError
from storage.locations import join, write_atomic
from storage.registry import Registry
from tests.flows.cli.command import hcp


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three versions of a model in the default file of a folder."""
    folder = tmp_path_factory.mktemp("champion")
    registry = Registry(f"sqlite:///{folder / 'hcp-registry.db'}")
    for n in (1, 2, 3):
        place = str(folder / str(n))
        write_atomic(join(place, "a.bin"), bytes([n]))
        mark_complete(place, ("a.bin",))
        registry.register("hcp", checkpoint_uri=place, metrics={}, tags={})
    return folder


def test_the_champion_moves_and_comes_back(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(folder)
    for argument in ("hcp/1", "hcp-registry:hcp/2", "hcp/3"):
        done = hcp("promote", argument)
        assert done.exit_code == 0, done.output
    assert done.output == "champion of hcp: version 3 (before: version 2)\n"
    monkeypatch.chdir(folder.parent)
    where = f"sqlite:///{folder / 'hcp-registry.db'}"
    back = [hcp("rollback", name, "--registry", where) for name in ("hcp", "hcp-registry:hcp")]
    assert [done.output for done in back] == [
        "champion of hcp: version 2 (before: version 3)\n",
        "champion of hcp: version 1 (before: version 2)\n",
    ]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", where)
    assert isinstance(done := hcp("rollback", "hcp").exception, RegistryError)
    assert "no former champion" in str(done)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("promote", "hcp"), "expected NAME/VERSION"),
        (("promote", "hcp/9"), "9"),
        (("promote", "nobody/1"), "nobody"),
        (("rollback", "hcp/1"), "expected NAME"),
        (("rollback", "nobody"), "no champion"),
        (("rollback", "hcp", "--registry", "sqlite:///nowhere.db"), "no registry"),
    ],
)
def test_a_mistake_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'hcp-registry.db'}")
    done = hcp(*arguments)
    assert isinstance(done.exception, RegistryError)
    assert message in str(done.exception)


def test_models_are_listed_the_newest_first(folder: Path) -> None:
    where = f"sqlite:///{folder / 'hcp-registry.db'}"
    assert hcp("promote", "hcp/2", "--registry", where, "--json").exit_code == 0
    rows = json.loads(hcp("models", "--registry", where, "--json").stdout)["models"]
    assert [row["model"] for row in rows] == ["hcp/3", "hcp/2", "hcp/1"]
    assert [row["champion"] for row in rows] == [False, True, False]
    lines = hcp("models", "hcp", "--registry", where).output.splitlines()
    assert lines[-1] == "3 versions of 1 models"
    assert "champion" in lines[2]


def test_weights_are_one_document() -> None:
    found = json.loads(hcp("weights", "--json").stdout)["weights"]
    assert all({"kind", "url", "sha256"} <= set(row) for row in found.values())
