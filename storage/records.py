"""The record types that the packages meet on: source records, people, samples, rejects, units.

Conventions: boxes are ``xyxy`` pixels of the upright image; keypoints are 17 rows of (x_px, y_px,
confidence) in COCO order; images are HWC uint8 RGB; instance masks are HW uint8, 0 background and
i for person i (1-based position in ``people``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

CONTRACT_VERSION = 1
"""Version of the shard layout; part of every unit's fingerprint."""

COCO_KEYPOINTS = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder",
    "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip",
    "left_knee", "right_knee", "left_ankle", "right_ankle",
)  # fmt: skip
COCO_LIMBS = (
    (15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (6, 8),
    (7, 9), (8, 10), (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6),
)  # fmt: skip
COCO_FLIP = (0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15)
"""Index of each keypoint's mirror twin: ``flipped = keypoints[COCO_FLIP]`` after x -> width - x."""

RejectReason = Literal[
    "unreadable",
    "too_large",
    "too_small",
    "aspect_ratio",
    "no_caption",
    "bad_caption",
    "no_person",
    "person_too_small",
    "too_many_people",
    "too_few_keypoints",
    "low_pose_confidence",
    "poison",
]
REJECT_REASONS: tuple[RejectReason, ...] = get_args(RejectReason)

Split = Literal["train", "val"]
SpanKind = Literal["person", "action", "body"]
Box = tuple[float, float, float, float]
Keypoint = tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRecord:
    """One photo of a source, before it was read."""

    key: str  # 16 hex digits of a hash of `uri`
    uri: str  # path below the source's root, percent-encoded; tar: "<tar>#<member>"
    caption: str | None  # as the source gives it, None where it gives none
    attributes: Mapping[str, object] = field(default_factory=dict[str, object])
    content_tag: str  # changes when the photo's bytes change: ETag or content hash
    caption_from: str = field(default="", compare=False)
    """Where the caption stood, such as ``.txt`` or ``metadata.csv: text``: for reports alone.

    It stands in no plan and no shard, and tells no two records apart.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A human word of a caption: ``caption[start:end] == text``."""

    start: int
    end: int
    text: str
    kind: SpanKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """One detected person; ``mask_*`` are None where no mask was computed."""

    bbox_xyxy_px: Box
    score: float
    keypoints: tuple[Keypoint, ...]  # 17 rows
    passes_gate: bool = False
    mask_area_px: int | None = None
    mask_score: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One photo with its priors, as it stands in a shard."""

    key: str
    uri: str
    sha256: str  # of the source's bytes
    phash: str  # 16 hex digits, perceptual hash
    width_px: int
    height_px: int
    caption: str
    attributes: Mapping[str, object]
    people: tuple[Person, ...]
    human_spans: tuple[Span, ...]
    image_jpeg: bytes  # RGB, upright
    mask: NDArray[np.uint8]  # [height, width]; 0 background, i = people[i - 1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """A source record that is in no shard, with the reason a user can act on."""

    key: str
    uri: str
    reason: RejectReason
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """The unit of work: one shard's source records, in path order."""

    fingerprint: str  # 32 hex digits; names the shard
    records: Sequence[SourceRecord]
