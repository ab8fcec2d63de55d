"""What lies where weights should: real ones, or what a download left in their place."""

import json
import re
from pathlib import Path

_LFS = b"version https://git-lfs.github.com/spec/"
_HEAD_BYTES = 512
_MAX_HEADER_BYTES = 100_000_000  # safetensors' own limit


def not_a_model_file(path: Path) -> str | None:
    """Why a file of a model cannot be used, for people; None where nothing is found.

    Every file may be a Git LFS pointer or a web page; ``.safetensors`` may be broken off too.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if head.startswith(_LFS):
        size = re.search(rb"^size (\d+)", head, re.MULTILINE)
        of = f" of {int(size.group(1)):,} bytes" if size else ""
        return f"{path} is a Git LFS pointer, not the file{of}: fetch it with `git lfs pull`"
    if re.match(rb"\s*<(!doctype html|html)", head, re.IGNORECASE):
        return (
            f"{path} is an HTML page, not a model's file: the download was answered by a web page "
            "(a login, a licence, an error); download it again"
        )
    if not head:
        return f"{path} is empty"
    return _broken_safetensors(path) if path.suffix == ".safetensors" else None


def tensor_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a safetensors file's tensors, from its header alone.

    Raises:
        ValueError: it is no such file.
    """
    return {name: tuple(entry["shape"]) for name, entry in _header(path)[0].items()}


def _broken_safetensors(path: Path) -> str | None:
    try:
        entries, start = _header(path)
    except ValueError as error:
        return str(error)
    end = start + max((entry["data_offsets"][1] for entry in entries.values()), default=0)
    size = path.stat().st_size
    if size < end:
        return f"{path} is broken off: {size:,} of {end:,} bytes are there; download it again"
    return None


def _header(path: Path) -> tuple[dict[str, dict[str, list[int]]], int]:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= _MAX_HEADER_BYTES:
            raise ValueError(f"{path} is no safetensors file: its first 8 bytes are no header size")
        blob = file.read(length)
    if len(blob) < length:
        raise ValueError(f"{path} is broken off inside its header; download it again")
    try:
        entries = json.loads(blob)
        entries.pop("__metadata__", None)
    except (ValueError, AttributeError) as error:
        raise ValueError(f"{path} is no safetensors file: its header is no JSON object") from error
    return entries, 8 + length
