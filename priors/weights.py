"""Model weights: where the known ones lie, what they hash to, and which files may be loaded.

A pickle runs code when it is loaded, so a ``.pt`` or ``.pth`` file is used only if its sha256 is in
the table below or the user says that it is trusted; safetensors hold numbers only and always may.
"""

import hashlib
import logging
import os
import urllib.error
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal
from urllib.parse import urlparse

from storage.content_tags import cache_folder, file_stamp, is_settled
from storage.errors import WeightsError
from storage.weight_files import check_model_files, check_model_folder, not_a_model_file

logger = logging.getLogger(__name__)

WeightsKind = Literal[
    "yolo-pose", "yolo-seg", "sam_vit_h", "sam_vit_l", "sam_vit_b", "mobile_sam", "inception"
]

_ULTRALYTICS = "https://github.com/ultralytics/assets/releases/download/v8.3.0"
_SAM = "https://dl.fbaipublicfiles.com/segment_anything"


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownWeights:
    """One row of the table; without a digest the file needs the user's trust."""

    kind: WeightsKind
    url: str
    sha256: tuple[str, ...] = ()  # every variant that we have seen and trust
    pose_ap: float | None = None  # COCO val2017 keypoint AP, as its makers state it


# Digests of official files are those that several independent projects pin for the same URL; where
# we know of none, there is none. The second ones are rebuilds from 8-bit exports of them.
_YOLO_SHA256 = {
    "yolo11n-pose.pt": (
        "869e83fcdffdc7371fa4e34cd8e51c838cc729571d1635e5141e3075e9319dc0",
        "085a1e21cc2a6677ac17b5fa132ec7068ee00dcddfce515d662d34c7a270bfd6",
    ),
    "yolo11s-pose.pt": ("1060bda4a27012060eca246f9b2adeea22eabb045a1e58f8d229be29b7ebc2ba",),
    "yolo11m-pose.pt": ("29b17eaf3a3117cbea906090dbedf9159f7c6a49db58ec8b99ed2dfde1cf6eb2",),
    "yolo11x-pose.pt": ("013c43543b0751b8918486ba96e01ee44a59040683a07f96cc22bcc2cb7785f8",),
    "yolo11n-seg.pt": (
        "55ed65c56c91713d23e8402371c6c49a6fd84f257f7dce452e8d70e41dcbe152",
        "807c566c05c68396712f75cea2dda9e7affdc10a61580f153fe9bcfc5a4d48f5",
    ),
}
_YOLO_POSE_AP = {"n": 0.500, "s": 0.589, "m": 0.649, "l": 0.661, "x": 0.695}
"""https://docs.ultralytics.com/tasks/pose, of YOLO11 at 640 px."""
_INCEPTION = KnownWeights(  # Inception-v3 of FID's and KID's authors, as torch-fidelity has it
    kind="inception",
    url="https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
    "weights-inception-2015-12-05-6726825d.pth",
    sha256=("6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",),
)
_SAMS: tuple[tuple[WeightsKind, str, str], ...] = (
    ("sam_vit_h", f"{_SAM}/sam_vit_h_4b8939.pth",
     "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e"),
    ("sam_vit_l", f"{_SAM}/sam_vit_l_0b3195.pth",
     "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622"),
    ("sam_vit_b", f"{_SAM}/sam_vit_b_01ec64.pth",
     "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912"),
    ("mobile_sam", "https://github.com/ChaoningZhang/MobileSAM/raw/master/weights/mobile_sam.pt",
     "6dbb90523a35330fedd7f1d3dfc66f995213d81b29a5ca8108dbcdd4e37d6c2f"),
)  # fmt: skip
KNOWN_WEIGHTS: dict[str, KnownWeights] = {
    **{
        (name := f"yolo11{size}{kind[4:]}.pt"): KnownWeights(
            kind=kind,
            url=f"{_ULTRALYTICS}/{name}",
            sha256=_YOLO_SHA256.get(name, ()),
            pose_ap=_YOLO_POSE_AP[size] if kind == "yolo-pose" else None,
        )
        for kind in ("yolo-pose", "yolo-seg")
        for size in "nsmlx"
    },
    **{kind: KnownWeights(kind=kind, url=url, sha256=(sha256,)) for kind, url, sha256 in _SAMS},
    _INCEPTION.kind: _INCEPTION,
}
_KIND_OF_DIGEST: dict[str, WeightsKind] = {
    digest: row.kind for row in KNOWN_WEIGHTS.values() for digest in row.sha256
}
_DATA_SUFFIXES = {".safetensors", ".json", ".yaml", ".yml"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedWeights:
    """Weights on this machine that may be loaded."""

    path: Path  # a file, or a directory of safetensors and their config
    sha256: str  # of the file; of a directory, over its files' names and digests
    kind: WeightsKind | None  # None where neither the table nor the file name tells

    @property
    def weights_sha256(self) -> str:
        """Of the weights without what lies beside them: the same model under any name.

        That of the ``.safetensors`` where they are a directory, so that a copy of that file alone,
        or of the directory with other notes, is known again.
        """
        if not self.path.is_dir():
            return self.sha256
        digests = [file_sha256(path) for path in sorted(self.path.glob("*.safetensors"))]
        if len(digests) == 1:
            return digests[0]
        return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def resolve_weights(
    name_or_path: str | os.PathLike[str], *, trust: bool = False, cache: Path | None = None
) -> ResolvedWeights:
    """Find weights by path, by a name of ``KNOWN_WEIGHTS`` or by URL, fetch and verify them.

    Args:
        name_or_path: an existing path wins over a known name of the same spelling.
        trust: load a pickle of unknown digest too. What a name or URL of the table gave stays an
            error where its digest is known to be another.
        cache: directory for downloads; default ``weights`` in the program's cache folder.

    Raises:
        WeightsError: missing file, unknown name, failed download, wrong digest, untrusted pickle;
            a Git LFS pointer, a web page or a part of a file in the file's place.
    """
    text = os.fspath(name_or_path)
    path = Path(text).expanduser()
    check_model_files([path], "weights")
    if path.is_dir():
        check_model_folder(path, "weights")
        return ResolvedWeights(path=path, sha256=_directory_sha256(path), kind=None)
    if path.is_file():
        return _checked(path, file_sha256(path), name=path.name, trust=trust)
    row = KNOWN_WEIGHTS.get(text) or KNOWN_WEIGHTS.get(f"{text}.pt")
    if row is not None:
        return _fetched(row.url, row=row, trust=trust, cache=cache)
    if urlparse(text).scheme in ("http", "https", "file"):
        row = next((row for row in KNOWN_WEIGHTS.values() if row.url == text), None)
        return _fetched(text, row=row, trust=trust, cache=cache)
    raise WeightsError(
        f"weights: expected an existing path, a URL or one of {', '.join(KNOWN_WEIGHTS)}; "
        f"got {text!r}, and there is no such file in {Path.cwd()}"
    )


def known_digests(name_or_path: str) -> tuple[str, ...]:
    """``weights_sha256`` of what a name or path stands for, as far as known without fetching it.

    Of a path that exists its own, of a name of the table all that it may have; else nothing.

    Raises:
        WeightsError: a directory without weights.
    """
    path = Path(name_or_path).expanduser()
    if path.is_dir() or path.is_file():
        digest = _directory_sha256(path) if path.is_dir() else file_sha256(path)
        return (ResolvedWeights(path=path, sha256=digest, kind=None).weights_sha256,)
    row = KNOWN_WEIGHTS.get(name_or_path) or KNOWN_WEIGHTS.get(f"{name_or_path}.pt")
    by_url = (row for row in KNOWN_WEIGHTS.values() if row.url == name_or_path)
    row = row or next(by_url, None)
    return () if row is None else row.sha256


def file_sha256(path: Path) -> str:
    """The sha256 of a file's bytes, 64 hex digits; hashed once while the file does not change."""
    status = path.stat()
    hashed = _sha256 if is_settled(status) else _sha256.__wrapped__
    return hashed(path.resolve(), file_stamp(status))


@lru_cache(maxsize=256)
def _sha256(path: Path, stamp: str) -> str:
    del stamp  # only tells the file's states apart
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _fetched(
    url: str, *, row: KnownWeights | None, trust: bool, cache: Path | None
) -> ResolvedWeights:
    name = Path(urlparse(url).path).name
    path = _downloaded(url, name, row=row, folder=cache or cache_folder("weights"))
    digest = file_sha256(path)
    if row is not None and row.sha256 and digest not in row.sha256:
        raise WeightsError(
            f"weights: {path} (from {url}) should have sha256 {' or '.join(row.sha256)}, "
            f"got {digest}; delete it to fetch it again, or give a file of your own by its path"
        )
    return _checked(path, digest, name=name, trust=trust)


def _downloaded(url: str, name: str, *, row: KnownWeights | None, folder: Path) -> Path:
    """The file of that URL in ``folder``, fetched unless it is there already."""
    target = folder / f"{hashlib.sha256(url.encode()).hexdigest()[:16]}-{name[-80:]}"
    if target.is_file() and not_a_model_file(target) is None:
        return target
    earlier = folder / name  # what versions before this one called it, whatever the host
    if row is not None and earlier.is_file() and file_sha256(earlier) in row.sha256:
        return earlier
    import torch.hub

    folder.mkdir(parents=True, exist_ok=True)
    logger.info("fetching weights: %s -> %s", url, target)
    try:  # writes beside the target and moves it there when complete
        torch.hub.download_url_to_file(url, str(target), progress=False)
    except (OSError, urllib.error.URLError, RuntimeError) as error:
        raise WeightsError(
            f"weights: could not fetch {url} into {folder}: {error}; give a local path instead"
        ) from error
    if why := not_a_model_file(target):
        target.unlink()
        raise WeightsError(f"weights: {url} gave no weights: {why}; or give a local path instead")
    return target


def _checked(path: Path, digest: str, *, name: str, trust: bool) -> ResolvedWeights:
    known = _KIND_OF_DIGEST.get(digest)
    if path.suffix.lower() != ".safetensors" and known is None and not trust:
        raise WeightsError(
            f"weights: {path} is a pickle, which runs code when loaded, and its sha256 {digest} "
            "is not in the table of known weights; use safetensors, or trust it "
            "(trust_weights=true) if you know where it comes from"
        )
    return ResolvedWeights(path=path, sha256=digest, kind=known or _kind_of_name(name))


def _kind_of_name(name: str) -> WeightsKind | None:
    if name in KNOWN_WEIGHTS:
        return KNOWN_WEIGHTS[name].kind
    stem = name.lower()
    kinds: dict[str, WeightsKind] = {
        "mobile_sam": "mobile_sam",
        "vit_h": "sam_vit_h",
        "vit_l": "sam_vit_l",
        "vit_b": "sam_vit_b",
        "-pose": "yolo-pose",
        "-seg": "yolo-seg",
        "weights-inception": "inception",
    }
    return next((kind for part, kind in kinds.items() if part in stem), None)


def _directory_sha256(directory: Path) -> str:
    files = sorted(path for path in directory.iterdir() if path.suffix in _DATA_SUFFIXES)
    if not any(path.suffix == ".safetensors" for path in files):
        raise WeightsError(
            f"weights: expected a .safetensors file and its config in {directory}, "
            f"got {sorted(path.name for path in directory.iterdir())}"
        )
    whole = hashlib.sha256()
    for path in files:
        whole.update(f"{path.name}\0{file_sha256(path)}\n".encode())
    return whole.hexdigest()
