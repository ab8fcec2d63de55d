"""A generator of sources: formats x encodings x layouts x faults, one for each seed."""

import csv
import io
import json
import os
import random
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.storage.sources.random_parts import (
    CAPTION_NAMES,
    FOLDERS,
    OTHER_ENDINGS,
    PHOTO_ENDINGS,
    STEMS,
    TEXTS,
    caption_value,
    encoded,
    json_bytes,
    name_spelled,
    odd_entry,
    photo,
    photo_bytes,
    put,
)

IMAGE_NAMES = ("image_path", "file_name", "image", "path", "img", "Image", "filename", "jpg")
MEMBER_ENDINGS = (".jpg", ".png", ".txt", ".json", ".cls", ".caption", "", ".mask.png")
DELIMITERS = ",,,;\t|"


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A source on disk, and what its maker knows of it."""

    root: Path  # all that was made lies below
    uri: str
    options: Mapping[str, str] = field(default_factory=dict[str, str])  # of resolve_source
    members: Mapping[str, int] = field(default_factory=dict[str, int])  # of whole tars, by path
    rows: Mapping[str, int] = field(default_factory=dict[str, int])  # of whole tables, by path


def make_source(seed: int, root: Path) -> Made:
    """The source of one seed; the same each time."""
    rng = random.Random(seed)
    root.mkdir(parents=True)
    made = rng.choice(LAYOUTS)(rng, root)
    for _ in range(rng.choice((0, 0, 1, 3))):
        folders = [root, *(path for path in root.rglob("*") if path.is_dir())]
        odd_entry(rng, rng.choice(folders))
    if rng.random() < 0.1:
        wrong = rng.choice(("folder", "table", "webdataset", "coco", "auto"))
        made = _with(made, {"format": wrong})
    return made


def _with(made: Made, options: Mapping[str, str]) -> Made:
    return Made(
        root=made.root,
        uri=made.uri,
        options={**made.options, **options},
        members=made.members,
        rows=made.rows,
    )


def _photos(rng: random.Random, root: Path, most: int = 6) -> list[str]:
    """Photos at random places below a root: their paths."""
    paths: list[str] = []
    for _ in range(rng.randint(0, most)):
        folders = [rng.choice(FOLDERS) for _ in range(rng.choice((0, 0, 1, 2)))]
        ending = rng.choice(PHOTO_ENDINGS if rng.random() < 0.9 else OTHER_ENDINGS)
        path = "/".join([*folders, rng.choice(STEMS) + ending])
        if put(root / path, photo_bytes(rng, ending)):
            paths.append(path)
    return paths


def _folder(rng: random.Random, root: Path) -> Made:
    paths = _photos(rng, root, 8)
    for path in paths:
        stem = os.path.splitext(path)[0]
        beside = [f"{stem}{end}" for end in (".txt", ".json", ".caption", ".TXT")]
        beside += [f"{path}.txt", f"{path}.json"]
        for name in rng.sample(beside, rng.choice((0, 1, 1, 2))):
            text = rng.choice(TEXTS)
            fields = {rng.choice(CAPTION_NAMES): caption_value(rng, text), "id": 1}
            is_json = name.endswith(".json")
            put(root / name, json_bytes(rng, fields) if is_json else encoded(rng, text))
    if rng.random() < 0.4:
        place = root / rng.choice(("", "", "sub", "data"))
        below = [
            str((root / p).relative_to(place)) for p in paths if (root / p).is_relative_to(place)
        ]
        _table(rng, place, f"metadata{rng.choice(('.jsonl', '.csv', '.parquet'))}", below)
    return Made(root=root, uri=str(root))


def _table_source(rng: random.Random, root: Path) -> Made:
    paths = _photos(rng, root)
    place = root / rng.choice(("", "", "", "data", "train"))
    rows: dict[str, int] = {}
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        ending = rng.choice((".csv", ".jsonl", ".parquet", ".CSV", ".tsv", ".Parquet"))
        name = rng.choice(("t", "set", "train-00000-of-00001", "caf\u00e9", "a b")) + ending
        below = [os.path.relpath(root / path, place) for path in paths]
        n = _table(rng, place, name, below)
        if n is not None:
            rows[os.path.relpath(place / name, root)] = n
    uri = str(rng.choice((root, root, place / rng.choice(list(rows)).rpartition("/")[2]))
              if rows else root)  # fmt: skip
    options = {"images": str(root)} if rng.random() < 0.15 else {}
    return Made(root=root, uri=uri, options=options, rows=rows)


def _table(rng: random.Random, place: Path, name: str, paths: list[str]) -> int | None:
    """Write one table; its number of rows, None where that is not known."""
    image = "file_name" if name.startswith("metadata") else rng.choice(IMAGE_NAMES)
    text = rng.choice(CAPTION_NAMES)
    chosen = [rng.choice(paths) for _ in range(rng.randint(0, 6))] if paths else [""]
    rows = [
        {image: name_spelled(rng, path), text: caption_value(rng, rng.choice(TEXTS)), "id": i}
        for i, path in enumerate(chosen)
    ]
    for row in rows:
        if rng.random() < 0.1:
            del row[rng.choice((image, text))]
    write = {".jsonl": _jsonl, ".parquet": _parquet}.get(Path(name).suffix.lower(), _csv)
    data = write(rng, rows, (image, text))
    if rng.random() < 0.1:
        data = rng.choice((b"", data[: len(data) // 2], b"\x00" * 40, b"<html>", data[:-3]))
        put(place / name, data)
        return None
    return len(rows) if put(place / name, data) and write is not _csv else None


def _csv(rng: random.Random, rows: list[dict[str, object]], names: tuple[str, str]) -> bytes:
    out = io.StringIO(newline="")
    writer = csv.DictWriter(
        out,
        [*names, "id"],
        delimiter=rng.choice(DELIMITERS),
        quoting=rng.choice((csv.QUOTE_MINIMAL, csv.QUOTE_ALL)),
        lineterminator=rng.choice(("\n", "\r\n", "\r")),
    )
    if rng.random() < 0.95:
        writer.writeheader()
    writer.writerows(rows)
    if rng.random() < 0.1:
        out.write('"open quote\n')
    encoding = rng.choice(("utf-8", "utf-8", "utf-8-sig", "utf-16", "cp1252"))
    return out.getvalue().encode(encoding, errors="replace")


def _jsonl(rng: random.Random, rows: list[dict[str, object]], names: tuple[str, str]) -> bytes:
    for row in rows:
        if rng.random() < 0.15 and names[0] in row:
            row[names[0]] = {"bytes": None, "path": row[names[0]]}
    lines = [json.dumps(row) for row in rows]
    if lines and rng.random() < 0.1:
        lines[rng.randrange(len(lines))] = rng.choice(("{", "[]", "7", "\udcff"))
    encoding = rng.choice(("utf-8", "utf-8", "utf-8-sig"))
    return ("\n".join(lines) + "\n").encode(encoding, errors="surrogateescape")


def _parquet(rng: random.Random, rows: list[dict[str, object]], names: tuple[str, str]) -> bytes:
    image, text = names
    kind = rng.choice(("path", "bytes", "struct", "struct path"))
    paths = [row.get(image) for row in rows]
    plain = [str(path).encode(errors="replace").decode() if path else None for path in paths]
    cells: dict[str, list[object]] = {
        "path": list(plain),
        "bytes": [photo(".jpg") if path else None for path in paths],
        "struct": [{"bytes": photo(".png"), "path": path} if path else None for path in plain],
        "struct path": [{"bytes": None, "path": path} for path in plain],
    }
    texts = [rng.choice(TEXTS) if text in row else None for row in rows]
    values: list[object] = (
        [[t, t] if t else None for t in texts] if rng.random() < 0.2 else [*texts]
    )
    out = io.BytesIO()
    table = pa.table({image: cells[kind], text: values, "id": list(range(len(rows)))})
    pq.write_table(table, out, row_group_size=2)
    return out.getvalue()


def _tars(rng: random.Random, root: Path) -> Made:
    members: dict[str, int] = {}
    for i in range(rng.choice((1, 1, 2))):
        name = rng.choice((f"{i:05}.tar", f"part {i}.TAR", f"data/{i:05}.tar"))
        data, n = _tar(rng)
        if rng.random() < 0.12:
            data, n = rng.choice((b"", data[: len(data) // 2], data[:700], b"no tar" * 100)), None
        if put(root / name, data) and n is not None:
            members[name] = n
    for name in ("00000.parquet", "00000_stats.json", "README.md", "a.jpg"):
        if rng.random() < 0.15:
            put(root / name, b"x")
    uri = root / rng.choice(list(members)) if members and rng.random() < 0.2 else root
    return Made(root=root, uri=str(uri), members=members)


def _tar(rng: random.Random) -> tuple[bytes, int]:
    out = io.BytesIO()
    n = 0
    with tarfile.open(fileobj=out, mode="w", format=rng.choice((tarfile.PAX_FORMAT, 1))) as tar:
        names: list[str] = []
        for _ in range(rng.randint(0, 6)):
            stem = rng.choice(STEMS).replace("\n", " ") + rng.choice(("", "", ".input", ".2024"))
            ends = rng.sample(MEMBER_ENDINGS, rng.randint(1, 3))
            names += [rng.choice(("", "d/", "./")) + stem + end for end in ends]
        if rng.random() < 0.3:
            rng.shuffle(names)
        for name in names:
            n += _add_member(rng, tar, name, names)
    return out.getvalue(), n


def _add_member(rng: random.Random, tar: tarfile.TarFile, name: str, names: list[str]) -> int:
    info = tarfile.TarInfo(name)
    ending = os.path.splitext(name)[1]
    text = rng.choice(TEXTS)
    if ending == ".json":
        data = json_bytes(rng, {rng.choice(CAPTION_NAMES): caption_value(rng, text)})
    else:
        data = encoded(rng, text) if ending in (".txt", ".caption") else photo_bytes(rng, ending)
    kind = rng.random()
    if kind < 0.06:
        info.type = rng.choice((tarfile.LNKTYPE, tarfile.SYMTYPE))
        info.linkname, data = rng.choice((*names, "/etc/passwd", "../x")), b""
    elif kind < 0.1:
        info.type, data = rng.choice((tarfile.DIRTYPE, tarfile.FIFOTYPE)), b""
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))
    return int(info.type != tarfile.DIRTYPE)


def _coco(rng: random.Random, root: Path) -> Made:
    place = root / rng.choice(
        ("", "photos", "images", "train2017", "images/train2017", "elsewhere")
    )
    paths = _photos(rng, place)
    names = [name_spelled(rng, rng.choice((p, os.path.relpath(place / p, root)))) for p in paths]
    images = [{"id": i, "file_name": name} for i, name in enumerate(names)]
    annotations = [
        {"id": i, "image_id": rng.randrange(len(names) + 1), "caption": caption_value(rng, text)}
        for i, text in enumerate(rng.choices(TEXTS, k=rng.randint(0, 6)))
    ]
    for entry in [*images, *annotations]:
        if rng.random() < 0.03:
            entry.pop(rng.choice(list(entry)))
    value: object = {"images": images, "annotations": annotations}
    if rng.random() < 0.2:  # LAION-Human's
        value = {f"{i}": {"img_path": name, "prompt": rng.choice(TEXTS)}
                 for i, name in enumerate(names)}  # fmt: skip
    file = root / rng.choice(("captions.json", "annotations/captions_train2017.json", "all.json"))
    put(file, json_bytes(rng, value))
    uri = rng.choice((root, file)) if file.is_file() else root
    options = {"images": str(place)} if rng.random() < 0.2 and place.is_dir() else {}
    return Made(root=root, uri=str(uri), options=options)


def _twins(rng: random.Random, root: Path) -> Made:
    """A folder of captions beside a folder of photos, boxes and strangers among them."""
    pairs = (("images", "captions"), ("train/images", "train/labels"), ("img", "txt"),
             ("images/train", "captions/train"), ("train_images", "train_captions"),
             ("", "captions"), ("photos", "annotations"), ("train", "texts/train"))  # fmt: skip
    for photos, captions in rng.sample(pairs, rng.choice((1, 1, 2))):
        for path in _photos(rng, root / photos):
            stem = rng.choice((path, os.path.splitext(path)[0], "stranger"))
            ending = rng.choice((".txt", ".txt", ".json", ".caption", ".xml"))
            text = rng.choice((*TEXTS, "0 0.5 0.5 0.1 0.1\n"))
            fields = {rng.choice(CAPTION_NAMES): caption_value(rng, text)}
            data = json_bytes(rng, fields) if ending == ".json" else encoded(rng, text)
            put(root / captions / f"{stem}{ending}", data)
    if rng.random() < 0.3:
        _photos(rng, root / rng.choice(("masks", "captions", "images")))
    return Made(root=root, uri=str(root))


def _lists(rng: random.Random, root: Path) -> Made:
    """A list of photos and captions in text, YAML or JSON, beside the photos or above them."""
    place = root / rng.choice(("", "", "images", "Images", "part-000001", "train/imgs"))
    paths = _photos(rng, place)
    spelled = [name_spelled(rng, rng.choice((path, os.path.splitext(path)[0]))) for path in paths]
    pairs = [(name, rng.choice(TEXTS)) for name in [*spelled, "gone.jpg"] for _ in range(2)]
    folder = rng.choice((root, root, place, root / "annotations", root / "Flickr8k_text"))
    if rng.random() < 0.5:
        shapes: tuple[object, ...] = (
            {name: {"p": text, "se": 1} for name, text in pairs},
            dict(pairs),
            {"train": [{"image": name, "caption": text} for name, text in pairs]},
            {"image": [name for name, _ in pairs], "text": [text for _, text in pairs]},
            {"images": {str(i): {"path": name} for i, (name, _) in enumerate(pairs)},
             "annotations": {str(i): [text] for i, (_, text) in enumerate(pairs)}},
            [list(pair) for pair in pairs],
        )  # fmt: skip
        name = rng.choice(("part-000001.json", "captions.yaml", "meta_cap.json", "all.yml"))
        data = json_bytes(rng, rng.choice(shapes))  # JSON is YAML, too
    else:
        separator = rng.choice(("\t", ",", "|", ": ", " ", "#0\t"))
        lines = [f"{name}{separator}{text}" for name, text in pairs]
        header = rng.choice(("", "", "image,caption\n"))
        name = rng.choice(("captions.txt", "results.token", "Flickr8k.token.txt", "all.lst"))
        data = encoded(rng, header + "\n".join(lines))
    put(folder / name, data)
    uri = rng.choice((root, root, folder / name)) if (folder / name).is_file() else root
    return Made(root=root, uri=str(uri))


def _mixed(rng: random.Random, root: Path) -> Made:
    """Several layouts in one folder: one of them is the source, the others are left out."""
    for make in rng.sample((_folder, _table_source, _tars, _coco, _twins, _lists), 2):
        make(rng, root)
    return Made(root=root, uri=str(root))


LAYOUTS: tuple[Callable[[random.Random, Path], Made], ...] = (
    _folder, _folder, _table_source, _table_source, _tars, _coco, _mixed, _twins, _lists, _lists,
)  # fmt: skip
