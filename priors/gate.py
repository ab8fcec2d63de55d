"""The gate: which captions and which people make a photo a sample, and why not otherwise."""

import unicodedata
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from storage.pictures import MAX_PIXELS
from storage.records import Person, RejectReason

MAX_CAPTION_CHARS = 10_000

_FORMER_CAPTION_CHARS = 1000  # the limit by default, in earlier versions


@dataclass(frozen=True, slots=True, kw_only=True)
class GateConfig:
    """What a photo must have to become a sample."""

    min_side_px: int = 256  # of the shorter side
    max_pixels: int = MAX_PIXELS  # of any format; checked before a pixel is decoded
    max_aspect: float = 4.0  # longer side / shorter side
    min_caption_chars: int = 1  # after clean-up, as all of the caption's limits
    max_caption_chars: int = MAX_CAPTION_CHARS  # against rubbish: encoders cut what is too long
    min_caption_words: int = 1  # what blanks part
    min_letter_fraction: float = 0.0  # of what is not blank; refuses numbers, emoji, wrong bytes
    caption_scripts: tuple[str, ...] = ()  # Unicode's names, such as LATIN, ARABIC, CJK; empty: any
    min_script_fraction: float = 0.8  # of the letters, in one of caption_scripts
    min_score: float = 0.35  # of the person's detection
    min_area_fraction: float = 0.02  # of the person's box, of the photo
    min_keypoints: int = 6  # of 17, on one person at least
    min_keypoint_confidence: float = 0.3  # for a keypoint to count
    max_people: int = 8  # detections of any score

    def __post_init__(self) -> None:
        fractions = (
            self.min_score,
            self.min_area_fraction,
            self.min_keypoint_confidence,
            self.min_letter_fraction,
            self.min_script_fraction,
        )
        if not all(0 <= value <= 1 for value in fractions):
            raise ValueError(f"GateConfig scores and fractions must be in [0, 1], got {self}")
        if not 0 <= self.min_keypoints <= 17:
            raise ValueError(f"GateConfig.min_keypoints must be in 0..17, got {self.min_keypoints}")
        limits = (self.min_side_px, self.max_pixels, self.max_aspect, self.max_caption_chars)
        if min(limits) < 1:
            raise ValueError(f"GateConfig limits must be >= 1, got {self}")
        if not 0 <= self.min_caption_chars <= self.max_caption_chars or self.min_caption_words < 0:
            raise ValueError(f"GateConfig caption limits contradict each other, got {self}")
        wrong = [name for name in self.caption_scripts if name != name.upper() or not name]
        if wrong:
            raise ValueError(f"GateConfig.caption_scripts are names such as LATIN, got {wrong}")
        if not 1 <= self.max_people <= 255:  # people are numbered in 8 bits
            raise ValueError(f"GateConfig.max_people must be in 1..255, got {self.max_people}")


def counted_gate(gate: GateConfig, *, long_captions: bool) -> dict[str, Any]:
    """The gate as it counts in fingerprints and versions, plain JSON.

    Where no caption is longer than the limit that earlier versions had by default, that one stands
    for today's: it lets the same captions pass, and the data of those versions stay as they are.

    Args:
        long_captions: whether any caption is (:func:`is_long`).
    """
    facts = asdict(gate)
    if gate.max_caption_chars == MAX_CAPTION_CHARS and not long_captions:
        facts["max_caption_chars"] = _FORMER_CAPTION_CHARS
    return facts


def is_long(caption: str | None) -> bool:
    """Whether earlier versions would have refused a caption for its length alone."""
    return caption is not None and len(caption) > _FORMER_CAPTION_CHARS


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a photo is no sample."""

    reason: RejectReason
    detail: str


def clean_caption(caption: str) -> str:
    """One line in NFC: runs of white space become one blank, control characters go.

    Lone surrogates go too, because they cannot be written as UTF-8.
    """
    one_line = " ".join(caption.split())
    kept = "".join(c for c in one_line if unicodedata.category(c) not in ("Cc", "Cs"))
    return " ".join(unicodedata.normalize("NFC", kept.lstrip("\ufeff")).split())


def check_caption(caption: str | None, *, config: GateConfig) -> str | Refusal:
    """The cleaned caption, or why there is none.

    ``no_caption``: the source has none, or only white space. ``bad_caption``: nothing but control
    characters; or, after clean-up, too short, too long, too few words, too few letters, or letters
    of other scripts than the gate asks for.
    """
    if caption is None or not caption.strip():
        return Refusal(reason="no_caption", detail="the source gives no text for this photo")
    cleaned = clean_caption(caption)
    if not cleaned:
        return Refusal(
            reason="bad_caption", detail=f"{len(caption)} characters, none of them printable"
        )
    problem = _length_problem(cleaned, config) or _script_problem(cleaned, config)
    return cleaned if problem is None else Refusal(reason="bad_caption", detail=problem)


def _length_problem(caption: str, config: GateConfig) -> str | None:
    n_chars, n_words = len(caption), len(caption.split())
    if n_chars > config.max_caption_chars:
        return f"{n_chars} characters, limit {config.max_caption_chars} (gate.max_caption_chars)"
    if n_chars < config.min_caption_chars:
        return f"{n_chars} characters, needs {config.min_caption_chars}"
    if n_words < config.min_caption_words:
        return f"{n_words} words, needs {config.min_caption_words}"
    return None


def _script_problem(caption: str, config: GateConfig) -> str | None:
    marks = [c for c in caption if not c.isspace()]
    letters = [c for c in marks if unicodedata.category(c)[0] in "LM"]  # M: vowel signs, accents
    share = len(letters) / len(marks)
    if share < config.min_letter_fraction:
        return f"{share:.2f} of it are letters, needs {config.min_letter_fraction:g}"
    if not config.caption_scripts or not letters:
        return None
    # Unicode names letters by script: LATIN SMALL LETTER A, CJK UNIFIED IDEOGRAPH-4E00.
    known = sum(unicodedata.name(c, "").split(" ")[0] in config.caption_scripts for c in letters)
    if known < config.min_script_fraction * len(letters):
        wanted = " or ".join(config.caption_scripts)
        return (
            f"{known / len(letters):.2f} of its letters are {wanted}, "
            f"needs {config.min_script_fraction:g}"
        )
    return None


def check_people(
    people: Sequence[Person], *, width_px: int, height_px: int, config: GateConfig
) -> tuple[Person, ...] | Refusal:
    """The people with ``passes_gate`` set, at least one of them true, or why there is no sample.

    The rules narrow the people down in the order of the reject reasons, and the first rule that
    nobody is left for gives the reason: a person at all, large enough, not a crowd, enough
    keypoints, sure enough. A crowd is counted over all the detections that a record would list.
    """
    large = [
        p for p in people if _area_fraction(p, width_px, height_px) >= config.min_area_fraction
    ]
    posed = [p for p in large if confident_keypoints(p, config) >= config.min_keypoints]
    sure = [p for p in posed if p.score >= config.min_score]
    if not people:
        return Refusal(reason="no_person", detail="no detection")
    if not large:
        best = max(_area_fraction(p, width_px, height_px) for p in people)
        return Refusal(
            reason="person_too_small",
            detail=f"largest of {len(people)} covers {best:.4f} of the photo, "
            f"needs {config.min_area_fraction:g}",
        )
    if len(people) > config.max_people:
        return Refusal(
            reason="too_many_people", detail=f"{len(people)} people, limit {config.max_people}"
        )
    if not posed:
        most = max(confident_keypoints(p, config) for p in large)
        return Refusal(
            reason="too_few_keypoints",
            detail=f"{most} of confidence >= {config.min_keypoint_confidence:g}, "
            f"needs {config.min_keypoints}",
        )
    if not sure:
        best = max(p.score for p in posed)
        return Refusal(
            reason="low_pose_confidence", detail=f"score {best:.4f}, needs {config.min_score:g}"
        )
    return tuple(replace(p, passes_gate=any(p is s for s in sure)) for p in people)


def confident_keypoints(person: Person, config: GateConfig) -> int:
    """How many of the person's 17 keypoints count."""
    return sum(point[2] >= config.min_keypoint_confidence for point in person.keypoints)


def _area_fraction(person: Person, width_px: int, height_px: int) -> float:
    left, top, right, bottom = person.bbox_xyxy_px
    return max(right - left, 0.0) * max(bottom - top, 0.0) / (width_px * height_px)
