"""What random sources are made of: names, photos, captions, and what goes wrong with each."""

import io
import json
import os
import random
import unicodedata
from pathlib import Path

from PIL import Image

STEMS = (
    "a", "0001", "IMG.2024.05.01_1", "with space", "100%", "a%20b", "brackets[1]{2}", "quote'\"",
    "a;b,c", "-dash", "#hash", "q?row=1", "q?occurrence=2", "\u4e2d\u6587", "caf\u00e9",
    "cafe\u0301", "\U0001f600", "line\nbreak", "back\\slash", "dot.", "x" * 120, "CON", "~tilde",
    "metadata", "captions", "A", "\udcff\udcfe",
)  # fmt: skip
FOLDERS = (
    "sub", "data", "train", "images", "photos", "Sub Folder", "00000", "d.jpg", "\u00fc", "a.b",
)  # fmt: skip
PHOTO_ENDINGS = (
    ".jpg", ".jpg", ".jpg", ".JPG", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".gif", ".tiff",
    ".jfif", ".jpe", ".Png",
)  # fmt: skip
OTHER_ENDINGS = (
    ".raw", ".psd", ".mp4", "", ".md", ".jpg~", ".zip", ".part", ".avif", ".heic", ".jxl", ".xml",
    ".npy", ".tar.gz", ".html",
)  # fmt: skip
TEXTS = (
    "a man runs", "two women dance in the street", "ein Mädchen läuft", "一个人在跑步",
    "человек бежит по улице", "a “man” runs", "", "   ", "\n", "a\nman", "a " * 3000,
    "[1]", "0", '["a man", "a runner"]', "a\x00b", "😀 a man", "=SUM(A1)", "null", "nan",
)  # fmt: skip
ENCODINGS = ("utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252", "cp1251")
CAPTION_NAMES = ("caption", "text", "prompt", "TEXT", "Caption", "description", "text_input")


def photo(ending: str) -> bytes:
    """A tiny photo of an ending's format."""
    kind = {".png": "PNG", ".webp": "WEBP", ".bmp": "BMP", ".gif": "GIF"}.get(ending.lower())
    kind = kind or ("TIFF" if ending.lower().startswith(".tif") else "JPEG")
    if kind not in _PHOTOS:
        out = io.BytesIO()
        Image.new("RGB", (8, 8), (200, 100, 50)).save(out, kind)
        _PHOTOS[kind] = out.getvalue()
    return _PHOTOS[kind]


_PHOTOS: dict[str, bytes] = {}


def photo_bytes(rng: random.Random, ending: str) -> bytes:
    """A photo, or what lies there instead of one."""
    data = photo(ending)
    broken = (b"", data[: len(data) // 2], b"<html>not found</html>", b"version https://git-lfs")
    return rng.choice(broken) if rng.random() < 0.1 else data


def encoded(rng: random.Random, text: str) -> bytes:
    """A text in some encoding; where it has no such letters, with wrong bytes."""
    data = text.encode(rng.choice(ENCODINGS), errors="replace")
    return data + b"\xff\x00\x81" if rng.random() < 0.05 else data


def name_spelled(rng: random.Random, path: str) -> str:
    """A path as another program would write it."""
    spellings = (
        path, path, path, f"./{path}", path.replace("/", "\\"), path.upper(),
        unicodedata.normalize("NFD", path), unicodedata.normalize("NFC", path),
        f"../{path}", f"/{path}", f"{path}\x00", "", f"nowhere/{path}",
    )  # fmt: skip
    return rng.choice(spellings)


def json_bytes(rng: random.Random, value: object) -> bytes:
    """JSON as people have it: whole, cut off, deep, of another kind."""
    text = json.dumps(value, ensure_ascii=rng.random() < 0.5)
    if rng.random() < 0.12:
        text = rng.choice((text[:-1], "", "[" * 3000, "null", "[]", "3", text + text, "{'a': 1}"))
    return text.encode(rng.choice(("utf-8", "utf-8", "utf-8-sig", "utf-16")), "surrogatepass")


def caption_value(rng: random.Random, text: str) -> object:
    """A caption field's value: a text, a list, or something else."""
    others = ([text, "another"], [], None, 5, {"raw": text}, [None, text], float("nan"), True)
    return rng.choice(others) if rng.random() < 0.25 else text


def put(path: Path, data: bytes) -> bool:
    """Write a file unless something has that name; whether it was written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            file.write(data)
    except (FileExistsError, NotADirectoryError, IsADirectoryError, UnicodeError):
        return False
    return True


def odd_entry(rng: random.Random, folder: Path) -> None:
    """Something in a folder that is no plain file: links of all kinds, pipes, hidden names."""
    name = folder / f"odd{rng.randrange(100)}{rng.choice((*PHOTO_ENDINGS, '.txt', '.csv', ''))}"
    if os.path.lexists(name):
        return
    kind = rng.randrange(8)
    if kind == 0:
        os.symlink(name.name, name)  # to itself
    elif kind == 1:
        os.symlink("nowhere.jpg", name)
    elif kind == 2:
        os.symlink(Path(__file__), name)  # out of the root
    elif kind == 3:
        os.symlink(".", name)  # a loop
    elif kind == 4:
        os.symlink("..", name)  # a loop, or out of the root
    elif kind == 5:
        os.mkfifo(name)
    elif kind == 6:
        name.mkdir()
    else:
        put(folder / rng.choice((".hidden.jpg", "._a.jpg", ".cache/x/a.jpg", ".DS_Store")), b"x")
