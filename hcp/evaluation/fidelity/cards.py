"""What a report says of the distances to photos and of faces."""

from hcp.evaluation.fidelity.space import FeatureSpace
from hcp.evaluation.results import MeasureCard


def kid(space: FeatureSpace | None = None) -> MeasureCard:
    """Of whole pictures; the figure itself is times one."""
    return MeasureCard(
        name="kid", title="KID × 1,000", better="lower", scale=1000.0,  # noqa: RUF001
        note=f"to photos, all pairs{_in(space)}",
    )  # fmt: skip


def kid_change() -> MeasureCard:
    """Of KID, as a share of the base's."""
    return MeasureCard(
        name="kid_change", title="KID, relative change", note="to the base's, or the champion's",
        better="lower", percent=True,
    )  # fmt: skip


def fid(space: FeatureSpace | None = None) -> MeasureCard:
    """Of whole pictures."""
    return MeasureCard(
        name="fid", title="FID", better="lower",
        note=f"to photos; few pictures make it larger{_in(space)}",
    )  # fmt: skip


def cmmd(space: FeatureSpace | None = None) -> MeasureCard:
    """Of whole pictures; the figure itself is times 1,000, as its authors have it."""
    other = "" if space is None or space.is_clip else "; theirs is in CLIP's, so compare no other"
    return MeasureCard(
        name="cmmd", title="CMMD", better="lower", note=f"to photos{_in(space)}{other}"
    )


def faces(space: FeatureSpace | None = None) -> MeasureCard:
    """KID of face crops."""
    return MeasureCard(
        name="faces_kid", title="Faces: KID × 1,000", better="lower", scale=1000.0,  # noqa: RUF001
        note=f"crops by nose, eyes and ears, to those of photos{_in(space)}",
    )  # fmt: skip


def face_confidence(photos: float | None) -> MeasureCard:
    """Of the judge in the five points of a face."""
    return MeasureCard(
        name="face_confidence", title="Faces: detector's confidence", better="higher",
        note="nose, eyes and ears of the people found", photos=photos,
    )  # fmt: skip


def _in(space: FeatureSpace | None) -> str:
    return f"; {space.name}" if space else ""
