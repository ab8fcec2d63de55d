"""What lies where weights should: real ones, or what a download left in their place."""

import json
import re
from collections.abc import Iterable
from pathlib import Path

from storage.errors import WeightsError

PICKLES = (".pt", ".pth", ".bin", ".ckpt")
"""Suffixes that PyTorch's own files have."""
HEAD_BYTES = 512
"""Of a file that are looked at."""

_READ = (".safetensors", ".json", ".yaml", ".yml")
_LFS = re.compile(rb"version https://(git-lfs\.github|hawser\.github)\.com/spec/")
_ANNEX = re.compile(rb"[./\\]*(\.git)?[/\\]annex[/\\]objects[/\\]")
_HTML = re.compile(rb"<(!doctype\s+html|html|head|body|!--)", re.IGNORECASE)
_XML = re.compile(rb"<(\?xml|Error>|Response>)")  # as object stores answer
_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")  # of UTF-8 and UTF-16
_ZIP, _PICKLE, _GZIP = b"PK\x03\x04", b"\x80", b"\x1f\x8b"
_ZIP_END, _ZIP_END_BYTES = b"PK\x05\x06", 22 + 65_535  # with the longest comment
_SHOWN = 60  # characters of a text that was found
_MAX_HEADER_BYTES = 100_000_000  # safetensors' own limit


def not_a_model_file(path: Path) -> str | None:
    """Why a file of a model cannot be used, for people; None where nothing is found.

    Every file may be a Git LFS pointer or a web page. Of ``.safetensors`` and PyTorch's own files
    any other text is told too, and where they are broken off.

    Args:
        path: an existing file, whatever its suffix says.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    suffix = path.suffix.lower()
    if why := pointer_or_page(head, str(path)):
        return why
    if suffix == ".safetensors":
        return _broken_safetensors(path, head)
    return _broken_pickle(path, head) if suffix in PICKLES else None


def pointer_or_page(head: bytes, where: str) -> str | None:
    """Why content that begins like this is no model's file, whatever its kind; else None.

    Args:
        head: the first ``HEAD_BYTES``.
        where: the file's name, for the message.
    """
    if not head:
        return f"{where} is empty: the download was broken off; download it again"
    if _LFS.match(head):
        size = re.search(rb"^size (\d+)", head, re.MULTILINE)
        of = f" of {int(size.group(1)):,} bytes" if size else ""
        return f"{where} is a Git LFS pointer, not the file{of}: fetch it with `git lfs pull`"
    if _ANNEX.match(head):
        return f"{where} is a git-annex pointer, not the file: fetch it with `git annex get`"
    text = _unmarked(head)
    kind = "an HTML page" if _HTML.match(text) else "an XML page" if _XML.match(text) else None
    if kind is None:
        return None
    return (
        f"{where} is {kind}, not a model's file: the download was answered by a web page "
        "(a login, a licence, an error); download it again"
    )


def check_model_files(paths: Iterable[Path], what: str) -> None:
    """See that files can be a model's.

    Args:
        paths: the files; those that do not exist are passed over.
        what: which model they are of, the message's beginning.
    Raises:
        WeightsError: one is what a download left, or broken off.
    """
    for path in paths:
        if path.is_file() and (why := not_a_model_file(path)):
            raise WeightsError(f"{what}: {why}")


def check_model_folder(name_or_dir: str | Path, what: str) -> None:
    """See that the weights and settings in a folder can be a model's; any other name passes.

    Args:
        name_or_dir: a folder, or a hub's id.
        what: which model it is, the message's beginning.
    Raises:
        WeightsError: a file is what a download left, or broken off.
    """
    folder = Path(name_or_dir).expanduser()
    if folder.is_dir():
        check_model_files((p for p in sorted(folder.iterdir()) if p.suffix in _READ), what)


def tensor_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a safetensors file's tensors, from its header alone.

    Raises:
        ValueError: it is no such file.
    """
    return {name: shape for name, (shape, _) in _header(path)[0].items()}


def _broken_safetensors(path: Path, head: bytes) -> str | None:
    try:
        entries, start = _header(path)
    except ValueError as error:  # no header: then what is it?
        if head.startswith((_ZIP, _PICKLE, _GZIP)):
            return (
                f"{path} is no safetensors file but looks like a PyTorch pickle under another "
                "name, which can run code when loaded: get the .safetensors file, or convert it"
            )
        text = _text(head)
        return str(error) if text is None else _said(path, text)
    end = start + max((end for _, end in entries.values()), default=0)
    size = path.stat().st_size
    if size < end:
        return f"{path} is broken off: {size:,} of {end:,} bytes are there; download it again"
    return None


def _broken_pickle(path: Path, head: bytes) -> str | None:
    if (text := _text(head)) is not None:
        return _said(path, text)
    if not head.strip(b"\0"):
        return f"{path} begins with zeros: the download was broken off; download it again"
    if head.startswith(_ZIP):  # as torch.save writes; the list of its members stands at the end
        size = path.stat().st_size
        with path.open("rb") as file:
            file.seek(max(0, size - _ZIP_END_BYTES))
            if _ZIP_END not in file.read():
                return f"{path} is broken off after {size:,} bytes; download it again"
    return None


def _said(path: Path, text: str) -> str:
    return f"{path} is a text, not weights: it begins {text!r}; download the file again"


def _unmarked(head: bytes) -> bytes:
    mark = next((mark for mark in _MARKS if head.startswith(mark)), b"")
    rest = head[len(mark) :]
    return (rest.replace(b"\0", b"") if len(mark) == 2 else rest).lstrip()


def _text(head: bytes) -> str | None:
    """The beginning of a text such as ``Entry not found``; None of anything else."""
    # A character may be cut at the end of what was read; no text has control characters.
    text = _unmarked(head).decode("utf-8", errors="replace").rstrip("\ufffd")
    if not text or not all(sign.isprintable() or sign.isspace() for sign in text):
        return None
    return None if "\ufffd" in text else " ".join(text.split())[:_SHOWN]


def _header(path: Path) -> tuple[dict[str, tuple[tuple[int, ...], int]], int]:
    """Shape and last byte of each tensor, the latter from where the data begin; and where."""
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
        found = {n: (tuple(e["shape"]), int(e["data_offsets"][1])) for n, e in entries.items()}
    except (ValueError, AttributeError, TypeError, KeyError, IndexError) as error:
        raise ValueError(f"{path} is no safetensors file: its header lists no tensors") from error
    return found, 8 + length
