"""What a base's name stands for, and which of a folder's weights load (cases.md, B01 and B02)."""

from pathlib import Path

import pytest
from huggingface_hub import constants

from hcp.base import load_base
from hcp.base_files import is_hub_file, local_base, weights_variant
from storage.errors import CheckpointError

COMMIT = "a" * 40
FILE = "tune_v1.safetensors"
ADDRESSES = (
    f"owner/tunes/{FILE}",
    f"huggingface.co/owner/tunes/{FILE}",
    f"https://huggingface.co/owner/tunes/blob/main/{FILE}",
    f"https://huggingface.co/owner/tunes/resolve/main/{FILE}?download=true",
    f"https://hf.co/owner/tunes/blob/{COMMIT}/{FILE}",
)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub's cache with one repository that has one file; the hub itself is not asked."""
    repository = tmp_path / "hub" / "models--owner--tunes"
    snapshot = repository / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (snapshot / FILE).write_bytes(b"")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return snapshot / FILE


@pytest.mark.parametrize("address", ADDRESSES)
def test_b01_a_single_file_of_the_hub_is_found_in_its_cache(address: str, hub: Path) -> None:
    assert is_hub_file(address)
    assert local_base(address) == hub
    with pytest.raises(CheckpointError, match=f"{FILE} is empty"):
        load_base(address)


@pytest.mark.parametrize("address", ["owner/tunes/other.safetensors", "owner/gone/x.safetensors"])
def test_b01_one_that_is_not_there_says_what_was_tried(address: str, hub: Path) -> None:
    assert local_base(address) is None
    with pytest.raises(CheckpointError, match=r"not found\. Tried: .*HF_HUB_OFFLINE") as refused:
        load_base(address)
    assert str(hub.parents[3]) in str(refused.value)


@pytest.mark.parametrize(
    "name",
    [
        "owner/tunes", "model.safetensors", "folder/model.safetensors", "../a/b/c.safetensors",
        "./a/b/c.safetensors", "/a/b/c.safetensors", "~/a/b/c.safetensors", "s3://a/b/c.safetensors",
        "https://elsewhere.org/a/b/c.safetensors", "owner/tunes/model.ckpt",
    ],
)  # fmt: skip
def test_b01_other_names_are_no_files_of_the_hub(name: str) -> None:
    assert not is_hub_file(name)


def test_a_path_that_exists_is_never_a_name_of_the_hub(
    hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del hub
    monkeypatch.chdir(tmp_path)
    own = Path("owner/tunes") / FILE
    own.parent.mkdir(parents=True)
    own.touch()
    assert local_base(str(own)) == own
    assert local_base("owner/tunes") == own.parent


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ({"unet": ("",), "vae": ("", ".fp16")}, None),
        ({"unet": (".fp16",), "vae": (".fp16",)}, "fp16"),
        ({"unet": (".fp16",), "vae": ("",)}, "fp16"),
        ({"unet": (".fp16", ".bf16"), "vae": ("",)}, "bf16"),
        ({"unet": (".non_ema", ""), "vae": ("",)}, None),
        ({"unet": (".fp16-00001-of-00002", ".fp16-00002-of-00002")}, "fp16"),
        ({"unet": ("-00001-of-00002",), "safety_checker": (".fp16",)}, None),
        ({}, None),
    ],
)
def test_a_variant_is_taken_where_the_plain_weights_are_absent(
    names: dict[str, tuple[str, ...]], expected: str | None
) -> None:
    files = [f"{part}/model{ending}.safetensors" for part in names for ending in names[part]]
    assert weights_variant([*files, "v1-5.safetensors", "unet/config.json"]) == expected
