"""The report's table of what its scores can see: faults put into pictures, ranked by each score."""

from dataclasses import dataclass

from hcp.evaluation.results import SeenFaults

_TITLES = {
    "people_score": "People score",
    "soundness": "Sound bodies",
    "pose_as_asked": "Pose as asked",
    "pose_distance": "Distance to a real pose",
    "keypoint_confidence": "Keypoint confidence",
    "implausible_limbs": "Implausible limbs",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultRow:
    """One kind of fault."""

    kind: str
    shares: tuple[tuple[float | None, bool], ...]  # per measure: ranked right, and whether seen


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultTable:
    """What stands in the section."""

    lead: str
    titles: tuple[str, ...]
    rows: tuple[FaultRow, ...]


def fault_table(record: SeenFaults | None) -> FaultTable | None:
    """The section's content; None where no record lies beside a body judge."""
    if record is None:
        return None
    names = [name for name in _TITLES if name in record.shares]
    seen, unseen = record.seen("people_score"), record.unseen("people_score")
    lead = (
        f"{record.pairs} pairs of pictures of {record.world}, intact and with one fault: the share "
        f"of pairs in which a score ranks the intact one higher. From {record.enough:.0%} on it "
        f"counts as seen. The people score sees {_and(seen)}; it does not see {_and(unseen)}. In "
        "other worlds, and of faults that are not in the table, nothing is known."
    )
    return FaultTable(
        lead=lead,
        titles=tuple(_TITLES[name] for name in names),
        rows=tuple(
            FaultRow(
                kind=kind.replace("_", " "),
                shares=tuple(_cell(record, name, kind) for name in names),
            )
            for kind in record.shares["people_score"]
        ),
    )


def _cell(record: SeenFaults, measure: str, kind: str) -> tuple[float | None, bool]:
    share = record.shares[measure].get(kind)
    return share, share is not None and share >= record.enough


def _and(words: list[str]) -> str:
    words = [word.replace("_", " ") for word in words]
    if len(words) < 2:
        return words[0] if words else "none of them"
    return f"{', '.join(words[:-1])} and {words[-1]}"
