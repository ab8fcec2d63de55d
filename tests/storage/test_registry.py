"""The registry on a real sqlite file: checks, versions, the champion."""

import hashlib
import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from storage.checkpoints import mark_complete, verify_checkpoint
from storage.errors import CheckpointError, RegistryError
from storage.exports import export_files
from storage.registry import Registry, champion_of, checkpoint_place, default_tracking_uri

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    """One registry for the module (its first use takes seconds), in an empty working directory."""
    folder = tmp_path_factory.mktemp("registry")
    (folder / "cwd").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder / "cwd")
        yield Registry(f"sqlite:///{folder}/new/mlflow.db")


@pytest.fixture
def checkpoint(tmp_path):
    """A complete checkpoint with a nested file."""
    root = tmp_path / "checkpoint"
    digests = {}
    for name in ("adapter.safetensors", "trainer_state/ema.safetensors"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
        digests[name] = hashlib.sha256(name.encode()).hexdigest()
    (root / "COMPLETE.json").write_text(json.dumps({"files": digests}))
    return root


def _register(registry, name, checkpoint, **metrics):
    return registry.register(
        name, checkpoint_uri=str(checkpoint), metrics=metrics or {"people_ap": 0.5}, tags={"a": "b"}
    )


def test_register_get_promote_resolve(registry, checkpoint):
    first = _register(registry, "walk", checkpoint)
    assert (first.version, first.uri, first.metrics) == (1, str(checkpoint), {"people_ap": 0.5})
    assert first.tags == {"a": "b"}
    assert registry.get("walk", 1) == registry.get("walk", "1") == first
    assert registry.champion("walk") is None
    second = _register(registry, "walk", checkpoint, people_ap=0.75, bad=float("nan"))
    assert second.version == 2
    assert registry.promote("walk", 2).version == 2
    assert registry.champion("walk").version == registry.get("walk", "champion").version == 2
    registry.promote("walk", first.version)
    assert registry.champion("walk") == first
    assert registry.resolve("hcp-registry:walk/champion") == str(checkpoint)
    assert registry.resolve(second.registry_uri) == str(checkpoint)


def test_registering_again_gives_the_same_version(registry, checkpoint):
    assert _register(registry, "twice", checkpoint) == _register(registry, "twice", checkpoint)
    assert _register(registry, "twice", checkpoint, people_ap=0.9).version == 2


def test_unfinished_and_changed_checkpoints_are_refused(registry, checkpoint):
    (checkpoint / "adapter.safetensors").write_bytes(b"changed")
    with pytest.raises(CheckpointError, match=r"adapter\.safetensors changed"):
        _register(registry, "refused", checkpoint)
    (checkpoint / "adapter.safetensors").unlink()
    with pytest.raises(CheckpointError, match="cannot be read"):
        _register(registry, "refused", checkpoint)
    (checkpoint / "COMPLETE.json").write_text('{"files": {"../x": "0"}}')
    with pytest.raises(CheckpointError, match="outside"):
        _register(registry, "refused", checkpoint)
    for text in ("{", '{"files": {}}', "[]"):
        (checkpoint / "COMPLETE.json").write_text(text)
        with pytest.raises(CheckpointError, match="COMPLETE"):
            _register(registry, "refused", checkpoint)
    (checkpoint / "COMPLETE.json").unlink()
    with pytest.raises(CheckpointError, match="not a complete checkpoint"):
        _register(registry, "refused", checkpoint)
    with pytest.raises(RegistryError):
        registry.get("refused", 1)


def test_what_is_not_there_is_an_error(registry, checkpoint, tmp_path):
    assert registry.champion("nobody") is None
    entry = _register(registry, "errors", checkpoint)
    for name, version in (("nobody", 1), ("errors", 9), ("errors", "champion"), ("errors", "x")):
        with pytest.raises(RegistryError):
            registry.get(name, version)
    with pytest.raises(RegistryError):
        registry.promote("errors", 9)
    for uri in ("errors/1", "hcp-registry:errors", "hcp-registry:errors/none"):
        with pytest.raises(RegistryError):
            registry.resolve(uri)
    with pytest.raises(RegistryError, match="name must be"):
        _register(registry, "a' or 'b", checkpoint)
    checkpoint.rename(tmp_path / "moved")
    with pytest.raises(RegistryError, match="gone"):
        registry.resolve(entry.registry_uri)


def test_plain_folders_are_refused(tmp_path):
    for uri in (str(tmp_path), f"file://{tmp_path}"):
        with pytest.raises(RegistryError, match="sqlite"):
            Registry(uri)


def test_nothing_appears_in_the_working_directory(registry, checkpoint):
    _register(registry, "clean", checkpoint)
    assert Path.cwd().name == "cwd"
    assert list(Path.cwd().iterdir()) == []


def _change(checkpoint, content=b"other"):
    (checkpoint / "adapter.safetensors").write_bytes(content)
    mark_complete(str(checkpoint), ("adapter.safetensors", "trainer_state/ema.safetensors"))
    return verify_checkpoint(str(checkpoint))


def test_what_changed_or_vanished_is_told_with_both_digests(registry, checkpoint):
    entry = _register(registry, "checked", checkpoint)
    assert entry.digest == verify_checkpoint(str(checkpoint))
    found = _change(checkpoint)
    with pytest.raises(RegistryError) as caught:
        registry.resolve(entry.registry_uri)
    assert all(word in str(caught.value) for word in (entry.digest, found, str(checkpoint)))
    (checkpoint / "adapter.safetensors").write_bytes(b"no marker for these bytes")
    with pytest.raises(RegistryError, match=f"registered sha256 {entry.digest}, found [0-9a-f]"):
        registry.promote("checked", 1)
    (checkpoint / "adapter.safetensors").unlink()
    with pytest.raises(RegistryError, match=f"registered sha256 {entry.digest}, found none"):
        registry.resolve(entry.registry_uri)


def test_a_pointer_is_registered_as_what_it_points_to(registry, checkpoint, tmp_path):
    names = ("adapter.safetensors",)
    place = export_files(str(checkpoint), names, str(tmp_path / "out"))
    entry = _register(registry, "pointer", tmp_path / "out" / "latest")
    assert entry.uri == place
    _change(checkpoint)
    assert export_files(str(checkpoint), names, str(tmp_path / "out")) != place
    assert registry.resolve("hcp-registry:pointer/1") == place


def test_a_champion_of_the_version_before_resolves(tmp_path):
    """Its place is a folder ``latest``, which a later training makes a pointer."""
    shutil.copytree(GOLDEN / "training" / "latest", tmp_path / "training" / "latest")
    text = (GOLDEN / "registry.sql").read_text().replace("@GOLDEN@", str(tmp_path))
    with sqlite3.connect(tmp_path / "registry.db") as connection:
        connection.executescript(text)
    registry = Registry(f"sqlite:///{tmp_path / 'registry.db'}")
    former = str(tmp_path / "training" / "latest")
    assert registry.resolve("hcp-registry:hcp/champion") == former
    with pytest.raises(RegistryError, match="no former champion"):
        registry.rollback("hcp")
    step = next((GOLDEN / "training").glob("train-*/step-*"))
    export_files(str(step), ("adapter_config.json",), str(tmp_path / "training"))
    moved = registry.resolve("hcp-registry:hcp/champion")
    assert moved != former
    assert verify_checkpoint(moved) == registry.champion("hcp").digest


def test_rollback_walks_back_through_the_champions(registry, checkpoint):
    for n in range(3):
        _register(registry, "back", checkpoint, people_ap=float(n))
    with pytest.raises(RegistryError, match="no champion"):
        registry.rollback("back")
    for version in (1, 3, 3, 2):
        registry.promote("back", version)
    assert [registry.rollback("back").version for _ in range(2)] == [3, 1]
    assert registry.champion("back").version == 1
    with pytest.raises(RegistryError, match="no former champion: version 1 is the first"):
        registry.rollback("back")
    registry.promote("back", 2)
    _change(checkpoint)
    with pytest.raises(RegistryError, match="changed"):
        registry.rollback("back")
    assert registry.champion("back").version == 2


def test_a_deleted_experiment_is_restored(registry, checkpoint):
    client = registry._mlflow._client
    _register(registry, "deleted", checkpoint)
    client.delete_experiment(client.get_experiment_by_name("deleted").experiment_id)
    assert _register(registry, "deleted", checkpoint, people_ap=0.9).version == 2


def test_a_registry_uri_is_registered_as_the_version_it_names(registry, checkpoint):
    entry = _register(registry, "named", checkpoint)
    again = _register(registry, "named", "hcp-registry:named/1", people_ap=0.9)
    assert again == entry
    other = _register(registry, "another", "hcp-registry:named/1")
    assert (other.version, other.uri, other.digest) == (1, entry.uri, entry.digest)


def test_the_registry_is_the_one_given_then_the_environments_then_here(
    registry, checkpoint, monkeypatch, tmp_path
):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    assert default_tracking_uri() == f"sqlite:///{tmp_path}/hcp-registry.db"
    with pytest.raises(RegistryError, match="--registry"):
        checkpoint_place("hcp-registry:place/1")
    assert not (tmp_path / "hcp-registry.db").exists()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000")
    assert default_tracking_uri() == "http://mlflow:5000"
    assert default_tracking_uri("sqlite:////x.db") == "sqlite:////x.db"
    _register(registry, "place", checkpoint)
    uri = registry._mlflow.where
    assert checkpoint_place("hcp-registry:place/1", uri) == str(checkpoint)
    assert checkpoint_place(checkpoint, uri) == str(checkpoint)


def test_the_champion_is_none_until_there_is_one_and_asking_makes_no_file(
    registry, checkpoint, tmp_path
):
    where = registry._mlflow.where
    assert champion_of("first-night", f"sqlite:///{tmp_path}/none.db") is None
    assert not (tmp_path / "none.db").exists()
    entry = _register(registry, "first-night", checkpoint)
    assert champion_of("first-night", where) is None
    registry.promote("first-night", entry.version)
    assert champion_of("first-night", where) == str(checkpoint)
    _change(checkpoint)
    with pytest.raises(RegistryError, match="changed or is gone"):
        champion_of("first-night", where)
