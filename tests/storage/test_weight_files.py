"""A model's file is checked by its first bytes and its length."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from storage.weight_files import not_a_model_file, tensor_shapes


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    save_file({"a": np.zeros((2, 3), np.float32), "b": np.ones(4, np.float16)}, path, {"k": "v"})
    return path


def test_a_whole_file_has_no_fault(weights: Path) -> None:
    assert not_a_model_file(weights) is None
    assert tensor_shapes(weights) == {"a": (2, 3), "b": (4,)}


@pytest.mark.parametrize("left", [1, 7, 20])
def test_a_file_that_was_broken_off_is_told(weights: Path, left: int) -> None:
    weights.write_bytes(weights.read_bytes()[:-left])
    assert "broken off" in (not_a_model_file(weights) or "")


def test_a_header_that_was_broken_off_is_told(weights: Path) -> None:
    weights.write_bytes(weights.read_bytes()[:30])
    assert "inside its header" in (not_a_model_file(weights) or "")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:a\nsize 1234567\n", "1,234,567"),
        (b"\n <HTML><body>Access denied", "HTML page"),
        (b"", "empty"),
        (b"PK\x03\x04 a zip, and so a pickle", "no safetensors"),
        ((3).to_bytes(8, "little") + b"{]}", "no JSON object"),
    ],
)
def test_what_else_lies_there_is_named(weights: Path, data: bytes, said: str) -> None:
    weights.write_bytes(data)
    assert said in (not_a_model_file(weights) or "")


def test_other_files_are_looked_at_for_pointers_and_pages_alone(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text("{}")
    assert not_a_model_file(config) is None
    config.write_text("version https://git-lfs.github.com/spec/v1\n")
    assert "Git LFS pointer, not the file: fetch" in (not_a_model_file(config) or "")
