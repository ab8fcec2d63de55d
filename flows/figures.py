"""Figures of a run as people read them: a line of progress, tables of speed and rejects."""

from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING

from flows.artifacts import Cell
from storage.versions import DatasetVersion

if TYPE_CHECKING:
    from priors.reports import PoolReport, ReportSum

REASONS = 3  # reject reasons in a line of progress
LOOKED = 500  # units in which an example of each reason is looked for
WHAT_TO_DO: Mapping[str, str] = {
    "unreadable": "the detail says why; where a store was down: retry-failed",
    "too_large": "gate.max_pixels lets larger ones in",
    "too_small": "gate.min_side_px lets smaller ones in",
    "aspect_ratio": "gate.max_aspect lets longer ones in",
    "no_caption": "captions lie beside photos (a.txt), in tables, or in metadata files",
    "bad_caption": "correct the caption that the detail names, or gate.min_caption_chars",
    "no_person": "as it should be, where there is none; else a larger extractor.pose_model",
    "person_too_small": "gate.min_area_fraction lets smaller people in",
    "too_many_people": "gate.max_people lets more people in",
    "too_few_keypoints": "gate.min_keypoints lets people in of whom less is seen",
    "low_pose_confidence": "gate.min_score lets less certain ones in",
    "poison": "nothing: it killed its worker, alone by itself",
}


def extraction_note(seen: "ReportSum", seconds: float) -> str:
    """Photos, their rate, and rejects by reason: what stands beside the units that are done.

    Args:
        seen: the units so far.
        seconds: that they took, the start of the models included.
    """
    parts = [f"{seen.n_samples + seen.n_rejects:,} photos"]
    if seen.n_computed and seconds > 0:
        parts.append(f"{seen.n_computed / seconds:.1f} photos/s")
    if seen.n_rejects:
        most = sorted(seen.reasons.items(), key=lambda item: (-item[1], item[0]))
        named = ", ".join(f"{reason} {count:,}" for reason, count in most[:REASONS])
        more = f", {len(most) - REASONS} more reasons" if len(most) > REASONS else ""
        parts.append(f"rejects: {named}{more}")
    return ", ".join(parts)


def speed_row(pool: "PoolReport") -> dict[str, Cell]:
    """The run's speed as one row."""
    stages = {f"{name} s": round(seconds, 2) for name, seconds in pool.stage_seconds.items()}
    return {
        "units": pool.n_units,
        "photos/s": round(pool.images_per_s, 2),
        "models busy": round(pool.busy_fraction, 3),
        "actors": pool.n_actors,
        "replaced": pool.n_deaths,
        "poison": len(pool.poison),
        **{name.replace("_", " "): number for name, number in pool.mended.items()},
        **stages,
    }


def reject_rows(version: DatasetVersion) -> list[dict[str, Cell]]:
    """What was kept, then one row per reason, most frequent first, with an example and its help."""
    total, examples = max(version.n_samples + version.n_rejects, 1), _examples(version)
    reasons = sorted(version.rejects_by_reason.items(), key=lambda item: (-item[1], item[0]))
    counts = [("kept", version.n_samples), *reasons]
    if version.exclusions:
        counts.append(("kept, but excluded as duplicates", len(version.exclusions)))
    return [
        {
            "outcome": outcome,
            "photos": count,
            "share": f"{count / total:.1%}",
            "what helps": WHAT_TO_DO.get(outcome, ""),
            "example": examples.get(outcome, ""),
        }
        for outcome, count in counts
    ]


def _examples(version: DatasetVersion) -> dict[str, str]:
    found: dict[str, str] = {}
    if not version.n_rejects:
        return found
    for batch in islice(version.rejects.to_batches(columns=["reason", "uri", "detail"]), LOOKED):
        for row in batch.to_pylist():
            detail = f": {row['detail']}" if row["detail"] else ""
            found.setdefault(row["reason"], f"{row['uri']}{detail}"[:200])
        if len(found) == len(version.rejects_by_reason):
            break
    return found
