"""Adapters on a stand-in of the hub: pushed, found again, cached, and refused with a reason."""

import time
from pathlib import Path

import pytest
from huggingface_hub import constants

from storage.checkpoints import COMPLETE_NAME, mark_complete, marker_of, verify_checkpoint
from storage.errors import CheckpointError, HubError
from storage.hub import hub_place, is_cached, is_hub_id, push_files
from storage.locations import read_bytes
from storage.registry import checkpoint_place
from tests.hub_server import READ_TOKEN, Hub

REPO = "someone/people"


def adapter(content: bytes, folder: Path) -> dict[str, bytes]:
    """The files of a complete checkpoint, card and all."""
    files = {"adapter.safetensors": content, "deep/config.json": b"{}"}
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    mark_complete(str(folder), files)
    return files | {
        COMPLETE_NAME: (folder / COMPLETE_NAME).read_bytes(),
        "README.md": b"---\nlicense: other\n---\n",
    }


def test_a_pushed_adapter_is_found_again_and_asked_for_once(hub: Hub, tmp_path: Path) -> None:
    files = adapter(b"weights", tmp_path / "a")
    commit = push_files(files, REPO)
    assert hub.repos[REPO].branches["main"] == commit
    assert not hub.repos[REPO].private
    place = hub_place(REPO)
    assert {name: read_bytes(f"{place}/{name}") for name in files} == files
    assert verify_checkpoint(place) == verify_checkpoint(str(tmp_path / "a"))
    assert is_cached(place)
    assert not is_cached(str(tmp_path / "a"))
    asked = len(hub.requests)
    push_files(adapter(b"newer", tmp_path / "b"), REPO)
    hub.requests.clear()
    assert hub_place(REPO) == hub_place(f"{REPO}@{commit}") == place  # the cached copy, unasked
    assert hub.requests == []
    assert asked > 0
    newer = hub_place(f"{REPO}@{hub.repos[REPO].branches['main']}")
    assert read_bytes(f"{newer}/adapter.safetensors") == b"newer"


def test_a_branch_of_its_own(hub: Hub, tmp_path: Path) -> None:
    push_files(adapter(b"main", tmp_path / "a"), REPO, private=True)
    push_files(adapter(b"trial", tmp_path / "b"), REPO, revision="trial")
    push_files(adapter(b"trial 2", tmp_path / "c"), REPO, revision="trial")
    assert hub.repos[REPO].private
    found = {rev: hub_place(f"{REPO}@{rev}") for rev in ("main", "trial")}
    assert read_bytes(f"{found['main']}/adapter.safetensors") == b"main"
    assert read_bytes(f"{found['trial']}/adapter.safetensors") == b"trial 2"
    assert checkpoint_place(f"{REPO}@trial") == found["trial"]
    with pytest.raises(HubError, match="no such revision"):
        hub_place(f"{REPO}@gone")


def test_a_path_that_exists_is_no_hub_id(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter(b"here", tmp_path / "someone" / "people")
    monkeypatch.chdir(tmp_path)
    assert checkpoint_place(REPO) == str(tmp_path / "someone" / "people")
    assert hub.requests == []
    texts = ("owner/name", "o/n@v1.0", "o/n@refs/pr/1")
    assert all(map(is_hub_id, texts))
    no_ids = ("name", "./o/n", "/o/n", "a/b/c", "s3://o/n", "hcp-registry:hcp/1", "../x", "o/n@")
    assert not any(map(is_hub_id, no_ids))


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({"model_index.json": b"{}", "unet/config.json": b"{}"}, r"model_index\.json, unet/"),
        ({"adapter_config.json": b"{}", "adapter_model.safetensors": b""}, "adapter_model"),
        ({f"{i}.bin": b"" for i in range(9)}, "and 3 more"),
        ({}, "no file"),
    ],
)
def test_a_repository_without_an_adapter_is_refused_with_what_it_holds(
    hub: Hub, files: dict[str, bytes], found: str, tmp_path: Path
) -> None:
    hub.add("someone/else", files)
    with pytest.raises(HubError, match=f"someone/else on the hub is no adapter.*{found}"):
        hub_place("someone/else")
    assert not any("resolve" in request for request in hub.requests)  # nothing was downloaded
    if files:
        with pytest.raises(HubError, match=f"holds something else.*{found}"):
            push_files(adapter(b"w", tmp_path), "someone/else")
        assert len(hub.repos["someone/else"].commits) == 1


def test_a_marker_that_lists_what_is_not_there_does_not_load(hub: Hub) -> None:
    hub.add("someone/half", {COMPLETE_NAME: marker_of({"adapter.safetensors": "0" * 64})})
    with pytest.raises(CheckpointError, match=r"adapter\.safetensors"):
        verify_checkpoint(hub_place("someone/half"))


def test_offline_the_cached_copy_works_and_nothing_else(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = adapter(b"weights", tmp_path / "a")
    push_files(files, REPO)
    place = hub_place(REPO)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    hub.requests.clear()
    assert hub_place(REPO) == place
    with pytest.raises(HubError, match="HF_HUB_OFFLINE") as caught:
        hub_place("someone/unknown")
    assert "hub-cache" in str(caught.value)
    with pytest.raises(HubError, match="HF_HUB_OFFLINE"):
        push_files(files, REPO)
    assert hub.requests == []


def test_an_unfinished_download_is_finished(hub: Hub, tmp_path: Path) -> None:
    push_files(adapter(b"weights", tmp_path / "a"), REPO)
    place = Path(hub_place(REPO))
    (place / "adapter.safetensors").unlink()
    assert verify_checkpoint(hub_place(REPO)) == verify_checkpoint(str(tmp_path / "a"))


@pytest.mark.parametrize(
    ("repo", "token", "message"),
    [
        (REPO, "", "not logged in: run `hf auth login`"),
        (REPO, "hf_unknown", "does not accept the token|no such repository"),
        (REPO, READ_TOKEN, "no right"),
        ("stranger/people", None, "no right"),
        ("people", None, "expected owner/name"),
        (f"{REPO}@v1", None, "expected owner/name"),
    ],
)
def test_a_push_that_is_refused_says_why(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repo: str, token: str | None,
    message: str,
) -> None:  # fmt: skip
    if token is not None:
        monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(HubError, match=message):
        push_files(adapter(b"w", tmp_path), repo)
    assert not hub.repos


def test_private_does_not_mean_an_open_repository(hub: Hub, tmp_path: Path) -> None:
    push_files(adapter(b"1", tmp_path / "a"), REPO)
    with pytest.raises(HubError, match="public"):
        push_files(adapter(b"2", tmp_path / "b"), REPO, private=True)
    assert len(hub.repos[REPO].commits) == 2


def test_a_private_repository_needs_a_token(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push_files(adapter(b"1", tmp_path / "a"), REPO, private=True)
    monkeypatch.setenv("HF_TOKEN", "")
    with pytest.raises(HubError, match="no such repository, or it is private"):
        hub_place(REPO)
    monkeypatch.setenv("HF_TOKEN", READ_TOKEN)
    assert verify_checkpoint(hub_place(REPO))


def test_without_a_network_it_ends_soon(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # nothing listens there
    start = time.monotonic()
    with pytest.raises(HubError, match="could not be reached"):
        hub_place(REPO)
    with pytest.raises(HubError, match="could not be reached"):
        push_files(adapter(b"w", tmp_path), REPO)
    assert time.monotonic() - start < 15
