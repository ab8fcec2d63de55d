"""Distributions of a dataset version that its card does not hold, for people who look at it."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from storage.records import Reject

if TYPE_CHECKING:
    from storage.versions import DatasetVersion

VISIBLE = 0.3
MAX_SAMPLES = 200_000
_SCORE_BIN, _AREA_BIN = 0.05, 0.05


def people_histograms(
    version: "DatasetVersion", *, limit: int = MAX_SAMPLES
) -> Mapping[str, Mapping[str, int]]:
    """Histograms over the people that pass the gate, of the first ``limit`` samples.

    Returns:
        Per distribution the count of each bin, named by its lower edge: ``detection_score``,
        ``visible_keypoints`` (confidence >= 0.3) and ``mask_share`` (of the photo's area).
    """
    scores, keypoints, areas = Counter[int](), Counter[int](), Counter[int]()
    for row in _rows(version, limit):
        pixels = row["width_px"] * row["height_px"]
        for person in row["people"]:
            if not person["passes_gate"]:
                continue
            scores[int(person["score"] / _SCORE_BIN + 1e-9)] += 1
            keypoints[sum(point[2] >= VISIBLE for point in person["keypoints"])] += 1
            areas[int((person["mask_area_px"] or 0) / pixels / _AREA_BIN)] += 1
    return {
        "detection_score": _named(scores, _SCORE_BIN),
        "visible_keypoints": {str(n): keypoints[n] for n in sorted(keypoints)},
        "mask_share": _named(areas, _AREA_BIN),
    }


def rejects_by_reason(version: "DatasetVersion", *, each: int) -> Mapping[str, list[Reject]]:
    """The first ``each`` rejects of every reason."""
    found: dict[str, list[Reject]] = {reason: [] for reason in version.rejects_by_reason}
    for batch in version.rejects.to_batches():
        for row in batch.to_pylist():
            if len(found[row["reason"]]) < each:
                found[row["reason"]].append(Reject(**row))
        if all(len(found[r]) >= min(each, n) for r, n in version.rejects_by_reason.items()):
            break
    return found


def _rows(version: "DatasetVersion", limit: int) -> Iterator[dict[str, Any]]:
    n = 0
    for batch in version.samples.to_batches(columns=["people", "width_px", "height_px"]):
        for row in batch.to_pylist():
            yield row
            n += 1
            if n >= limit:
                return


def _named(bins: Counter[int], width: float) -> dict[str, int]:
    return {f"{index * width:.2f}": bins[index] for index in sorted(bins)}
