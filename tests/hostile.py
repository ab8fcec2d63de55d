"""Broken and hostile photos, captions, tars and tables, and how each of them must end.

Each ``write_*`` function fills a folder and returns, for every record that the source then has,
its URI and its end: ``sample`` or a reject reason. The same bytes every time.
"""

import io
import json
import os
import struct
import tarfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from priors.config import Extraction, ExtractorConfig
from priors.extract import Extractor
from priors.masks import PersonMasks
from storage.canonical import encode_path
from storage.layout import Place, Root
from storage.records import Person, RejectReason
from storage.sources import Source

End = Literal["sample"] | RejectReason
Ends = dict[str, End]

WIDTH_PX, HEIGHT_PX = 320, 260
CAPTION = "a woman runs"


@dataclass(frozen=True, slots=True)
class OnePerson:
    """A pose model that finds one person on every photo."""

    def __call__(self, images: Sequence[NDArray[np.uint8]]) -> list[list[Person]]:
        return [[self._person(*image.shape[:2])] for image in images]

    def _person(self, height: int, width: int) -> Person:
        point = (width / 2, height / 2, 0.9)
        box = (0.0, 0.0, float(width), float(height))
        return Person(bbox_xyxy_px=box, score=0.9, keypoints=(point,) * 17)


@dataclass(frozen=True, slots=True)
class WholePhoto:
    """A mask model that takes the whole photo for the person."""

    def __call__(
        self, images: Sequence[NDArray[np.uint8]], people: Sequence[Sequence[Person]]
    ) -> list[PersonMasks]:
        return [
            PersonMasks(
                masks=np.ones((len(found), *image.shape[:2]), dtype=np.bool_),
                scores=np.ones(len(found), dtype=np.float32),
            )
            for image, found in zip(images, people, strict=True)
        ]


def lenient_extractor(source: Source, root: Place) -> Extractor:
    """An extractor for which every readable photo with a caption is a sample."""
    config = ExtractorConfig(batch_size=4, mask_batch_size=4)
    extraction = Extraction(source=source, root=Root.of(root), config=config, device="cpu")
    return Extractor(extraction, lambda _: [], pose=OnePerson(), masks=WholePhoto())


def picture(seed: int = 0, *, mode: str = "RGB", size: tuple[int, int] | None = None) -> Any:
    """A drawn picture of blotches in a Pillow mode."""
    blotches = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(blotches).resize(size or (WIDTH_PX, HEIGHT_PX)).convert(mode)


def encoded(image: Any, kind: str = "JPEG", **options: Any) -> bytes:
    """The file's bytes."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG that claims a size; chunks stand between its header and its end."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [b"\x89PNG\r\n\x1a\n"]
    for name, body in ((b"IHDR", header), *chunks, (b"IEND", b"")):
        check = struct.pack(">I", zlib.crc32(name + body))
        parts += [struct.pack(">I", len(body)), name, body, check]
    return b"".join(parts)


def bmp(width: int, height: int) -> bytes:
    """A BMP header without pixels."""
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + info


def flipped_byte(data: bytes, position: int) -> bytes:
    """One byte changed."""
    return data[:position] + bytes([data[position] ^ 0xFF]) + data[position + 1 :]


def rotated_exif(orientation: int) -> bytes:
    """An EXIF block with one tag."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


def image_cases() -> dict[str, tuple[bytes, End]]:
    """File name -> bytes and end."""
    sound = encoded(picture())
    frames = [picture(seed) for seed in (1, 2)]
    noisy = np.random.default_rng(3).integers(0, 65536, (HEIGHT_PX, WIDTH_PX), dtype=np.uint16)
    floats = Image.fromarray(noisy.astype(np.float32))
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "x" * (3 << 20), zip=True)
    clear = picture(mode="RGBA")
    clear.putalpha(90)
    more = {"save_all": True, "append_images": frames[1:]}
    return {
        "truncated.jpg": (sound[: len(sound) // 3], "unreadable"),
        "truncated-progressive.jpg": (encoded(picture(), progressive=True)[:900], "unreadable"),
        "truncated.png": (encoded(picture(), "PNG")[:700], "unreadable"),
        "truncated.webp": (encoded(picture(), "WEBP")[:300], "unreadable"),
        "truncated.gif": (encoded(picture(), "GIF")[:500], "unreadable"),
        "zero-bytes.jpg": (b"", "unreadable"),
        "one-byte.jpg": (b"\xff", "unreadable"),
        "header-only.jpg": (sound[:20], "unreadable"),
        "all-zeros.jpg": (bytes(5000), "unreadable"),
        "page.jpg": (b"<html><body>404 Not Found</body></html>", "unreadable"),
        "drawing.png": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "unreadable"),
        "document.jpg": (b"%PDF-1.7\n1 0 obj\n", "unreadable"),
        "archive.jpg": (b"PK\x03\x04" + bytes(400), "unreadable"),
        "postscript.jpg": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "unreadable"),
        "wrong-checksum.png": (flipped_byte(encoded(picture(), "PNG"), 60), "unreadable"),
        "no-pixels.png": (png(WIDTH_PX, HEIGHT_PX), "unreadable"),
        "no-width.png": (png(0, HEIGHT_PX), "unreadable"),
        "text-bomb.png": (encoded(picture(), "PNG", pnginfo=text), "sample"),
        "float.tif": (encoded(floats, "TIFF"), "unreadable"),
        "bomb.png": (png(50_000, 50_000, (b"IDAT", zlib.compress(bytes(9)))), "too_large"),
        "wide-claim.bmp": (bmp(60_000, 60_000), "too_large"),
        "wide.png": (encoded(Image.new("L", (30_000, 260)), "PNG"), "aspect_ratio"),
        "dot.png": (encoded(picture(size=(1, 1)), "PNG"), "too_small"),
        "thin.jpg": (encoded(picture(size=(400, 90))), "too_small"),
        "really-png.jpg": (encoded(picture(10), "PNG"), "sample"),
        "really-jpeg.png": (encoded(picture(11)), "sample"),
        "really-webp.gif": (encoded(picture(12), "WEBP"), "sample"),
        "cmyk.jpg": (encoded(picture(13, mode="CMYK")), "sample"),
        "grey.jpg": (encoded(picture(14, mode="L")), "sample"),
        "black-and-white.png": (encoded(picture(15, mode="1"), "PNG"), "sample"),
        "sixteen-bit.png": (encoded(Image.fromarray(noisy), "PNG"), "sample"),
        "palette.png": (encoded(picture(16, mode="P"), "PNG"), "sample"),
        "palette-clear.png": (encoded(picture(17, mode="P"), "PNG", transparency=3), "sample"),
        "clear.png": (encoded(clear, "PNG"), "sample"),
        "ycbcr.tif": (encoded(picture(18, mode="YCbCr"), "TIFF"), "sample"),
        "animated.gif": (encoded(frames[0], "GIF", **more), "sample"),
        "animated.webp": (encoded(frames[0], "WEBP", **more), "sample"),
        "pages.tif": (encoded(frames[0], "TIFF", **more), "sample"),
        "rotated.jpg": (encoded(picture(19), exif=rotated_exif(6)), "sample"),
        "broken-exif.jpg": (encoded(picture(20), exif=b"Exif\0\0II*\0\xff\xff\xff"), "sample"),
        "broken-profile.jpg": (encoded(picture(21), icc_profile=b"no profile"), "sample"),
        "appended.jpg": (encoded(picture(22)) + b"<?php system('id') ?>" * 99, "sample"),
        "UPPER.JPG": (encoded(picture(23)), "sample"),
    }


def caption_cases() -> dict[str, tuple[str, bytes, End]]:
    """Stem -> sidecar's suffix, bytes and end of the photo."""
    deep = b'{"caption": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    nan = b'{"caption": "a man runs", "score": NaN, "ratio": 1e999, "x": "\\ud800"}'
    return {
        "with-nul": (".txt", b"a man\x00 runs", "sample"),
        "with-newlines": (".txt", b"a man\r\nruns\n\n\tfast", "sample"),
        "right-to-left": (".txt", "\u202eرجل يركض في الشارع".encode(), "sample"),
        "hebrew": (".txt", "אישה רצה".encode(), "sample"),
        "emoji": (".txt", "a family \U0001f468\u200d\U0001f469 outside".encode(), "sample"),
        "bom": (".txt", b"\xef\xbb\xbfa man runs", "sample"),
        "latin-1": (".txt", "un garçon court".encode("latin-1"), "sample"),
        "windows": (".txt", "une femme \u201câgée\u201d court".encode("cp1252"), "sample"),
        "utf-16": (".caption", "a man runs".encode("utf-16"), "sample"),
        "utf-16-no-mark": (".json", '{"prompt": "a man"}'.encode("utf-16-le"), "sample"),
        "other-code-page": (".txt", "женщина бежит".encode("cp1251"), "bad_caption"),
        "half-utf-16": (".txt", "a man".encode("utf-16") + b"x", "bad_caption"),
        "separators": (".txt", "a man\u2028runs\u2029now\x85".encode(), "sample"),
        "markup": (".txt", b"<script>alert(1)</script> a man", "sample"),
        "long": (".txt", b"word " * 20_000, "bad_caption"),
        "only-nul": (".txt", b"\x00\x00\x01", "bad_caption"),
        "empty": (".txt", b"", "no_caption"),
        "blank": (".txt", b" \n\t ", "no_caption"),
        "nan": (".json", nan, "sample"),
        "two-captions": (".json", b'{"caption": ["a man runs", 3, "a man"]}', "sample"),
        "not-json": (".json", b"{'caption': 'a man'}", "no_caption"),
        "deep": (".json", deep, "no_caption"),
        "long-number": (".json", b'{"caption": "a", "n": ' + b"9" * 9999 + b"}", "no_caption"),
        "a-list": (".json", b'["a man runs"]', "no_caption"),
        "a-number": (".json", b'{"caption": 7}', "no_caption"),
        "null": (".json", b'{"caption": null}', "no_caption"),
    }


def write_folder(root: Path) -> Ends:
    """A folder of every image and caption case, and of names and links that lead elsewhere."""
    root.mkdir(parents=True)
    ends: Ends = {}
    for name, (data, end) in image_cases().items():
        _write(root / name, data)
        ends[encode_path(name)] = end
    for stem, (suffix, caption, end) in caption_cases().items():
        (root / f"{stem}.jpg").write_bytes(encoded(picture(len(ends))))
        (root / f"{stem}{suffix}").write_bytes(caption)
        ends[f"{stem}.jpg"] = end
    (root / "uncaptioned.jpg").write_bytes(encoded(picture()))
    ends["uncaptioned.jpg"] = "no_caption"
    (root / "caption-is-a-folder.jpg").write_bytes(encoded(picture()))
    (root / "caption-is-a-folder.txt").mkdir()
    ends["caption-is-a-folder.jpg"] = "no_caption"
    return ends | _write_names(root) | _write_links(root)


def _write(photo: Path, data: bytes, caption: str = CAPTION) -> None:
    photo.parent.mkdir(parents=True, exist_ok=True)
    photo.write_bytes(data)
    photo.with_suffix(".txt").write_text(caption, encoding="utf-8")


def _write_names(root: Path) -> Ends:
    names = ["a b\n'c'\".jpg", "100%#?x=1&.jpg", "x..jpg", "-rf.jpg", "émoji-😀.jpg"]
    names += ["é" * 120 + ".jpg", "deep/er/" * 20 + "x.jpg", os.fsdecode(b"not-utf-8-\xff.jpg")]
    for seed, name in enumerate(names):
        _write(root / name, encoded(picture(100 + seed)))
    return {encode_path(name): "sample" for name in names}


def _write_links(root: Path) -> Ends:
    outside = root.parent / "outside.jpg"
    outside.write_bytes(encoded(picture()))
    os.mkfifo(root / "pipe.jpg")  # reading it would wait for ever
    (root / "leaves.jpg").symlink_to(outside)
    (root / "loop").symlink_to(root)
    (root / ".hidden.jpg").write_bytes(encoded(picture()))
    _write(root / "dead.jpg", b"")
    (root / "dead.jpg").unlink()
    (root / "dead.jpg").symlink_to(root / "gone.jpg")
    _write(root / "stays.jpg", b"")
    (root / "stays.jpg").unlink()
    (root / "stays.jpg").symlink_to("cmyk.jpg")
    return {"dead.jpg": "unreadable", "stays.jpg": "sample"}


def write_tars(root: Path) -> Ends:
    """WebDataset tars with members that lead elsewhere, repeat each other, or stop half-way."""
    root.mkdir(parents=True)
    ends: Ends = {}
    cases: Mapping[str, Callable[[tarfile.TarFile], Ends]] = {
        "names.tar": _traversing_members,
        "links.tar": _linked_members,
        "repeated.tar": _repeated_members,
    }
    for name, fill in cases.items():
        with tarfile.open(root / name, "w") as tar:
            ends |= {f"{name}#{member}": end for member, end in fill(tar).items()}
    return ends | _write_broken_tars(root)


def _add(tar: tarfile.TarFile, name: str, data: bytes, **header: Any) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    for field, value in header.items():
        setattr(member, field, value)
    tar.addfile(member, io.BytesIO(data))


def _sample_in(tar: tarfile.TarFile, stem: str, *, seed: int = 0) -> None:
    _add(tar, f"{stem}.jpg", encoded(picture(seed)))
    _add(tar, f"{stem}.txt", CAPTION.encode())


def _traversing_members(tar: tarfile.TarFile) -> Ends:
    stems = ["../up", "../../../tmp/far-up", "/absolute", "./dot", "sub/dir/x", "naïve-😀", "a b#c"]
    for seed, stem in enumerate(stems):
        _sample_in(tar, stem, seed=seed)
    _add(tar, "nan.jpg", encoded(picture(30)))
    _add(tar, "nan.json", b'{"caption": "a man runs", "clip": NaN}')
    _add(tar, "bad-json.jpg", encoded(picture(31)))
    _add(tar, "bad-json.json", b'{"caption": ')
    _add(tar, "no-image.json", b'{"caption": "a download that failed"}')
    _add(tar, "empty.jpg", b"")
    _add(tar, "empty.txt", CAPTION.encode())
    ends: Ends = {encode_path(f"{stem}.jpg"): "sample" for stem in stems}
    return ends | {
        "nan.jpg": "sample",
        "bad-json.jpg": "no_caption",
        "no-image": "unreadable",
        "empty.jpg": "unreadable",
    }


def _linked_members(tar: tarfile.TarFile) -> Ends:
    _sample_in(tar, "sound")
    for stem, kind in (("symbolic", tarfile.SYMTYPE), ("hard", tarfile.LNKTYPE)):
        _add(tar, f"{stem}.jpg", b"", type=kind, linkname="/etc/passwd")
        _add(tar, f"{stem}.txt", CAPTION.encode())
    _add(tar, "device.jpg", b"", type=tarfile.CHRTYPE)
    _add(tar, "device.txt", CAPTION.encode())
    _add(tar, "folder.jpg", b"", type=tarfile.DIRTYPE)
    return {
        "sound.jpg": "sample",
        "symbolic.jpg": "unreadable",
        "hard.jpg": "unreadable",
        "device": "unreadable",
    }


def _repeated_members(tar: tarfile.TarFile) -> Ends:
    for seed in range(3):
        _sample_in(tar, "same", seed=seed)
        _sample_in(tar, f"other{seed}", seed=seed)
    ends: Ends = {f"other{seed}.jpg": "sample" for seed in range(3)}
    marks = ("", "?occurrence=2", "?occurrence=3")
    return ends | {f"same.jpg{mark}": "sample" for mark in marks}


def _write_broken_tars(root: Path) -> Ends:
    sound = io.BytesIO()
    with tarfile.open(fileobj=sound, mode="w") as tar:
        _sample_in(tar, "first")
        _sample_in(tar, "second", seed=1)
    data = sound.getvalue()
    second = data.index(b"second.jpg")
    (root / "truncated.tar").write_bytes(data[: second + 512 + 700])
    (root / "no-end.tar").write_bytes(data.rstrip(b"\0") + bytes(-len(data.rstrip(b"\0")) % 512))
    (root / "no-tar.tar").write_bytes(b"<html>503</html>" * 99)
    (root / "nothing.tar").write_bytes(b"")
    (root / "zipped.tar").write_bytes(b"\x1f\x8b" + zlib.compress(data))
    (root / "wrong-header.tar").write_bytes(flipped_byte(data, second + 150))
    whole: Ends = {f"no-end.tar#{stem}.jpg": "sample" for stem in ("first", "second")}
    return whole | {
        "truncated.tar#first.jpg": "sample",
        "truncated.tar#": "unreadable",
        "no-end.tar#": "unreadable",
        "no-tar.tar#": "unreadable",
        "nothing.tar#": "unreadable",
        "zipped.tar#": "unreadable",
        "wrong-header.tar#first.jpg": "sample",
        "wrong-header.tar#": "unreadable",
    }


_PATHS: Mapping[str, End] = {
    "sound.jpg": "sample",
    "gone.jpg": "unreadable",
    "../outside.jpg": "unreadable",
    "/etc/passwd": "unreadable",
    "http://example.invalid/x.jpg": "unreadable",
    "n\0ul.jpg": "unreadable",
    "x" * 5000 + ".jpg": "unreadable",
    ".": "unreadable",
}


def write_jsonl(root: Path) -> Ends:
    """A jsonl table whose paths lead elsewhere and whose rows are broken."""
    root.mkdir(parents=True)
    (root / "sound.jpg").write_bytes(encoded(picture()))
    rows = [json.dumps({"image": path, "text": CAPTION}) for path in _PATHS]
    broken = ["{", "[]", '{"image": NaN, "text": "a man"}', '{"text": "a man"}', "\x00"]
    rows += [*broken, '{"image": "\\ud800.jpg", "text": "a man"}']
    rows += ['{"image": "sound.jpg", "text": "\\ud800 a man", "x": NaN}']
    (root / "rows.jsonl").write_text("\n".join(rows), encoding="utf-8")
    # A place on the web is no file below the table: such a row is named by its number.
    named = [f"rows.jsonl?row={i}" if "://" in path else encode_path(path)
             for i, path in enumerate(_PATHS)]  # fmt: skip
    ends: Ends = dict(zip(named, _PATHS.values(), strict=True))
    first = len(_PATHS)
    ends |= {f"rows.jsonl?row={first + i}": "unreadable" for i in range(len(broken))}
    return ends | {"%3F.jpg": "unreadable", "sound.jpg?occurrence=2": "sample"}


def write_parquet(root: Path) -> Ends:
    """A parquet table with image bytes, some of them none."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    root.mkdir(parents=True)
    cells = [encoded(picture()), b"", None, b"no photo", encoded(picture(1)), encoded(picture(2))]
    captions = [CAPTION] * 4 + [None, "x" * 50_000]
    pq.write_table(pa.table({"image": cells, "text": captions}), root / "rows.parquet")
    found: Sequence[End] = ("sample", *["unreadable"] * 3, "no_caption", "bad_caption")
    return {f"rows.parquet#{i}": end for i, end in enumerate(found)}


def write_coco(root: Path) -> Ends:
    """COCO captions whose file names lead elsewhere."""
    (root / "photos").mkdir(parents=True)
    (root / "photos" / "sound.jpg").write_bytes(encoded(picture()))
    names = [*_PATHS, "\ud800.jpg"]
    images = [{"id": i, "file_name": name} for i, name in enumerate(names)]
    texts = [{"image_id": i, "caption": CAPTION} for i in range(len(names))]
    text = json.dumps({"images": images, "annotations": texts, "info": float("nan")})
    (root / "captions.json").write_text(text)
    ends: Ends = {encode_path(f"photos/{path}"): end for path, end in _PATHS.items()}
    return ends | {"photos/%3F.jpg": "unreadable"}


def write_metadata_folder(root: Path) -> Ends:
    """A folder whose captions stand in a broken metadata file."""
    root.mkdir(parents=True)
    for seed, name in enumerate(("named.jpg", "unnamed.jpg", "null.jpg")):
        (root / name).write_bytes(encoded(picture(seed)))
    rows = [
        '{"file_name": "named.jpg", "text": "a man runs", "aesthetic": NaN}',
        '{"file_name": "named.jpg", "text": "said twice"}',
        '{"file_name": "\\ud800.jpg", "text": "a name that is no text"}',
        '{"file_name": "../outside.jpg", "text": "elsewhere"}',
        '{"file_name": 7, "text": "no name"}',
        '{"file_name": "null.jpg", "text": null}',
        "{",
        "[1]",
    ]
    (root / "metadata.jsonl").write_text("\n".join(rows))
    return {"named.jpg": "sample", "unnamed.jpg": "no_caption", "null.jpg": "no_caption"}
