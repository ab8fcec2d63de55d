"""A sample as bytes: the members of a shard's tar, and the row of its parquet."""

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from storage.canonical import canonical_json, plain_json
from storage.errors import ShardError
from storage.pictures import stored_png
from storage.records import CONTRACT_VERSION, Keypoint, Person, Sample, Span, Split

MEMBER_SUFFIXES = ("jpg", "json", "mask.png", "txt")
"""Members of one sample, in the order they stand in the tar."""

_N_KEYPOINTS = 17
_MAX_PEOPLE = 255  # the mask has one byte per pixel
_PIXEL_DIGITS = 2
_SCORE_DIGITS = 4


def split_of(key: str, val_fraction: float = 0.05) -> Split:
    """The split of a sample: a function of its key alone, so that it never moves."""
    digest = hashlib.blake2b(b"split:" + key.encode(), digest_size=8).digest()
    return "val" if int.from_bytes(digest, "big") < val_fraction * 2**64 else "train"


def encode_sample(sample: Sample) -> dict[str, bytes]:
    """The tar members of a sample by suffix.

    Raises:
        ShardError: mask, people or numbers break the contract.
    """
    problem = _problem(sample)
    if problem is not None:
        raise ShardError(f"sample {sample.key} ({sample.uri}): {problem}")
    try:
        facts = canonical_json(sample_facts(sample))
    except ValueError as error:
        raise ShardError(f"sample {sample.key} ({sample.uri}): {error}") from error
    return {
        "jpg": sample.image_jpeg,
        "json": facts.encode(),
        "mask.png": _encode_mask(sample.mask),
        "txt": " ".join(sample.caption.splitlines()).encode(),
    }


def decode_sample(members: Mapping[str, bytes], *, where: str) -> Sample:
    """The sample that :func:`encode_sample` was given, with its numbers rounded.

    Raises:
        ShardError: a member is missing or broken; the message names ``where``.
    """
    try:
        facts = json.loads(members["json"])
        mask = _decode_mask(members["mask.png"])
        sample = Sample(**sample_fields(facts), image_jpeg=members["jpg"], mask=mask)
        problem = _problem(sample)
        if problem is not None:
            raise ValueError(problem)
        return sample
    except (KeyError, TypeError, ValueError, OSError, SyntaxError) as error:
        raise ShardError(
            f"{where}: not a sample of contract {CONTRACT_VERSION}: {type(error).__name__}: {error}"
        ) from error


def sample_fields(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What :func:`sample_facts` was given, as fields of a sample: all but photo and mask."""
    return {
        **{name: facts[name] for name in _PLAIN_FIELDS},
        "people": tuple(person_of(fields) for fields in facts["people"]),
        "human_spans": tuple(Span(**fields) for fields in facts["human_spans"]),
    }


_PLAIN_FIELDS = (
    "key", "uri", "sha256", "phash", "width_px", "height_px", "caption", "attributes",
)  # fmt: skip


def sample_facts(sample: Sample) -> dict[str, Any]:
    """Content of the ``.json`` member: everything but the pixels, floats rounded."""
    return {
        "contract": CONTRACT_VERSION,
        **{name: getattr(sample, name) for name in _PLAIN_FIELDS},
        "attributes": plain_json(sample.attributes),
        "people": [_person_facts(person) for person in sample.people],
        "human_spans": [asdict(span) for span in sample.human_spans],
    }


def sample_row(sample: Sample) -> dict[str, Any]:
    """The same facts as a parquet row, with what filters and statistics ask for."""
    facts = sample_facts(sample)
    return facts | {
        "attributes": canonical_json(facts["attributes"]),
        "n_people": len(sample.people),
        "n_people_passing": sum(person.passes_gate for person in sample.people),
        "caption_chars": len(sample.caption),
        "split": split_of(sample.key),
    }


def sample_schema() -> Any:
    """The pyarrow schema of ``<fingerprint>.parquet``."""
    import pyarrow as pa

    person = pa.struct(
        [
            ("bbox_xyxy_px", pa.list_(pa.float64())),
            ("score", pa.float64()),
            ("keypoints", pa.list_(pa.list_(pa.float64()))),
            ("passes_gate", pa.bool_()),
            ("mask_area_px", pa.int64()),
            ("mask_score", pa.float64()),
        ]
    )
    span = pa.struct(
        [("start", pa.int32()), ("end", pa.int32()), ("text", pa.string()), ("kind", pa.string())]
    )
    counts = ("n_people", "n_people_passing", "caption_chars")
    return pa.schema(
        [
            ("contract", pa.int32()),
            *((name, pa.string()) for name in ("key", "uri", "sha256", "phash")),
            *((name, pa.int32()) for name in ("width_px", "height_px")),
            ("caption", pa.string()),
            ("attributes", pa.string()),  # JSON: sources differ in their fields
            ("people", pa.list_(person)),
            ("human_spans", pa.list_(span)),
            *((name, pa.int32()) for name in counts),
            ("split", pa.string()),
        ]
    )


def reject_schema() -> Any:
    """The pyarrow schema of ``<fingerprint>.rejects.parquet``."""
    import pyarrow as pa

    return pa.schema([(name, pa.string()) for name in ("key", "uri", "reason", "detail")])


def _problem(sample: Sample) -> str | None:
    """How a sample breaks the contract."""
    size = (sample.height_px, sample.width_px)
    if sample.mask.shape != size or sample.mask.dtype != np.uint8:
        got = f"{sample.mask.shape} {sample.mask.dtype}"
        return f"mask must be {size} uint8 (height, width), got {got}"
    if len(sample.people) > _MAX_PEOPLE:
        return f"at most {_MAX_PEOPLE} people fit a mask, got {len(sample.people)}"
    if sample.mask.size and int(sample.mask.max()) > len(sample.people):
        return f"mask names person {sample.mask.max()} of {len(sample.people)}"
    if any(len(person.keypoints) != _N_KEYPOINTS for person in sample.people):
        return f"every person must have {_N_KEYPOINTS} keypoints"
    return None


def _person_facts(person: Person) -> dict[str, Any]:
    score = person.mask_score
    return {
        "bbox_xyxy_px": [_rounded(value, _PIXEL_DIGITS) for value in person.bbox_xyxy_px],
        "score": _rounded(person.score, _SCORE_DIGITS),
        "keypoints": [_keypoint_facts(keypoint) for keypoint in person.keypoints],
        "passes_gate": bool(person.passes_gate),
        "mask_area_px": None if person.mask_area_px is None else int(person.mask_area_px),
        "mask_score": None if score is None else _rounded(score, _SCORE_DIGITS),
    }


def _keypoint_facts(keypoint: Keypoint) -> list[float]:
    place_px = [_rounded(value, _PIXEL_DIGITS) for value in keypoint[:2]]
    return [*place_px, _rounded(keypoint[2], _SCORE_DIGITS)]


def _rounded(value: float, digits: int) -> float:
    # Adding 0.0 turns -0.0 into 0.0: equal numbers must give equal bytes.
    return round(float(value), digits) + 0.0


def person_of(fields: Mapping[str, Any]) -> Person:
    """A person as a sample's facts or rows hold it."""
    return Person(
        bbox_xyxy_px=tuple(fields["bbox_xyxy_px"]),
        score=fields["score"],
        keypoints=tuple(tuple(keypoint) for keypoint in fields["keypoints"]),
        passes_gate=fields["passes_gate"],
        mask_area_px=fields["mask_area_px"],
        mask_score=fields["mask_score"],
    )


def _encode_mask(mask: NDArray[np.uint8]) -> bytes:
    image = Image.fromarray(np.ascontiguousarray(mask), mode="P")
    image.putpalette(_palette())
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", bits=8, compress_level=6)
    return buffer.getvalue()


def _decode_mask(data: bytes) -> NDArray[np.uint8]:
    with stored_png(data) as image:
        if image.mode not in ("P", "L"):
            raise ValueError(f"mask must be an indexed PNG, got mode {image.mode}")
        return np.asarray(image, dtype=np.uint8)


def _palette() -> list[int]:
    """Black, then clearly different colours (PASCAL VOC's scheme), so that viewers show people."""
    place = np.arange(8)[:, None]  # of a bit in a channel, the highest first
    bits = np.arange(256)[:, None, None] >> (3 * place + np.arange(3)) & 1
    return (bits << (7 - place)).sum(axis=1).ravel().tolist()
