"""The registry on a real sqlite file: checks, versions, the champion."""

import hashlib
import json
from pathlib import Path

import pytest

from storage.errors import CheckpointError, RegistryError
from storage.registry import Registry


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
