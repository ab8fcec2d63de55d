"""A model's file is checked by its first bytes and its length (cases.md, B03)."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from storage.errors import WeightsError
from storage.weight_files import (
    PICKLES,
    check_model_files,
    check_model_folder,
    not_a_model_file,
    tensor_shapes,
)
from tests.left_files import LEFT, LFS


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    save_file({"a": np.zeros((2, 3), np.float32), "b": np.ones(4, np.float16)}, path, {"k": "v"})
    return path


def test_a_whole_file_has_no_fault(weights: Path) -> None:
    assert not_a_model_file(weights) is None
    assert tensor_shapes(weights) == {"a": (2, 3), "b": (4,)}


@pytest.mark.parametrize("size", [0x280, 0x413C, 0x8B1F, 0x800])
def test_a_header_whose_size_looks_like_another_file_is_a_header(weights: Path, size: int) -> None:
    # The first bytes are the header's size: these would begin a pickle, a page, a gzip file.
    blob = weights.read_bytes()
    n = int.from_bytes(blob[:8], "little")
    header = blob[8 : 8 + n].rstrip().ljust(size)
    weights.write_bytes(size.to_bytes(8, "little") + header + blob[8 + n :])
    assert not_a_model_file(weights) is None
    assert tensor_shapes(weights) == {"a": (2, 3), "b": (4,)}


@pytest.mark.parametrize("left", [1, 7, 20])
def test_a_file_that_was_broken_off_is_told(weights: Path, left: int) -> None:
    weights.write_bytes(weights.read_bytes()[:-left])
    assert "broken off" in (not_a_model_file(weights) or "")


def test_a_header_that_was_broken_off_is_told(weights: Path) -> None:
    weights.write_bytes(weights.read_bytes()[:30])
    assert "inside its header" in (not_a_model_file(weights) or "")


@pytest.mark.parametrize("suffix", [".safetensors", ".SAFETENSORS", *PICKLES])
@pytest.mark.parametrize("kind", LEFT)
def test_what_a_download_left_is_named_whatever_the_file(
    kind: str, suffix: str, tmp_path: Path
) -> None:
    data, said = LEFT[kind]
    path = tmp_path / f"model{suffix}"
    path.write_bytes(data)
    assert said in (not_a_model_file(path) or "")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"PK\x03\x04 a zip, and so a pickle", "PyTorch pickle under another name"),
        (b"\x80\x02ctorch", "PyTorch pickle under another name"),
        (b"\0" * 600, "no header size"),
        ((3).to_bytes(8, "little") + b"{]}", "header lists no tensors"),
        ((8).to_bytes(8, "little") + b'{"a": 1}', "header lists no tensors"),
        ((2).to_bytes(8, "little") + b"[]", "header lists no tensors"),
    ],
)
def test_what_else_lies_there_is_named(weights: Path, data: bytes, said: str) -> None:
    weights.write_bytes(data)
    assert said in (not_a_model_file(weights) or "")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: data, None),
        (lambda data: data[:-200], "broken off after"),
        (lambda data: b"\0" * len(data), "begins with zeros"),
    ],
    ids=["whole", "broken off", "preallocated"],
)
def test_a_pytorch_file_that_is_not_whole_is_told(
    change: Callable[[bytes], bytes], said: str | None, tmp_path: Path
) -> None:
    torch = pytest.importorskip("torch")
    path = tmp_path / "sam.pth"
    torch.save({"a": torch.zeros(3000)}, path)
    path.write_bytes(change(path.read_bytes()))
    found = not_a_model_file(path)
    assert found is None if said is None else said in (found or "")


def test_other_files_are_looked_at_for_pointers_and_pages_alone(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text("{}")
    assert not_a_model_file(config) is None
    config.write_text("version https://git-lfs.github.com/spec/v1\n")
    assert "Git LFS pointer, not the file: fetch" in (not_a_model_file(config) or "")
    vocabulary = tmp_path / "vocab.txt"
    vocabulary.write_text("<unk>\n<s>\n")
    assert not_a_model_file(vocabulary) is None


def test_the_check_names_the_model_and_passes_over_what_is_not_there(weights: Path) -> None:
    config = weights.with_name("config.json")
    check_model_files([weights, config], "CLIP")
    check_model_folder(str(weights.parent), "CLIP")
    check_model_folder("openai/clip-vit-base-patch32", "CLIP")
    config.write_bytes(LFS)
    with pytest.raises(WeightsError, match=r"^CLIP: .*config\.json is a Git LFS pointer"):
        check_model_folder(str(weights.parent), "CLIP")
