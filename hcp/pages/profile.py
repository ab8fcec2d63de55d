"""Distributions of a dataset version that its card does not hold, for people who look at it.

Of a large version a part is looked at, spread over its shards: a page is there within seconds.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from storage.markers import read_shard_infos
from storage.records import Reject
from storage.shard_reader import read_rejects

if TYPE_CHECKING:
    from storage.versions import DatasetVersion

VISIBLE = 0.3
MAX_SAMPLES = 50_000
MAX_SHARDS = 500
_SCORE_BIN, _AREA_BIN = 0.05, 0.05


def spread(shards: Sequence[str], limit: int = MAX_SHARDS) -> tuple[str, ...]:
    """At most ``limit`` of the shards, evenly spread over them."""
    n = min(limit, len(shards))
    return tuple(shards[index * len(shards) // n] for index in range(n))


def people_histograms(
    version: "DatasetVersion", *, limit: int = MAX_SAMPLES, max_shards: int = MAX_SHARDS
) -> Mapping[str, Mapping[str, int]]:
    """Histograms over the people that pass the gate, of up to ``limit`` samples.

    They are the first samples of at most ``max_shards`` shards, :func:`spread` over the version.

    Returns:
        Per distribution the count of each bin, named by its lower edge: ``detection_score``,
        ``visible_keypoints`` (confidence >= 0.3) and ``mask_share`` (of the photo's area).
    """
    scores, keypoints, areas = Counter[int](), Counter[int](), Counter[int]()
    part = replace(version, shards=spread(version.shards, max_shards))
    for batch in part.samples.to_batches(columns=["people", "width_px", "height_px"]):
        people = _passing(batch.slice(0, limit))
        scores.update(_bins(people["score"] / _SCORE_BIN + 1e-9))
        keypoints.update(_bins((people["keypoints"][..., 2] >= VISIBLE).sum(1)))
        areas.update(_bins(people["mask_share"] / _AREA_BIN))
        limit -= min(limit, batch.num_rows)
        if not limit:
            break
    return {
        "detection_score": _named(scores, _SCORE_BIN),
        "visible_keypoints": {str(n): keypoints[n] for n in sorted(keypoints)},
        "mask_share": _named(areas, _AREA_BIN),
    }


def rejects_by_reason(version: "DatasetVersion", *, each: int) -> Mapping[str, list[Reject]]:
    """The first ``each`` rejects of every reason; only shards that have wanted ones are read.

    Raises:
        ShardError: a shard cannot be read.
    """
    found: dict[str, list[Reject]] = {reason: [] for reason in version.rejects_by_reason}
    missing = {reason: min(each, n) for reason, n in version.rejects_by_reason.items()}
    for info in read_shard_infos(version.root, version.shards):
        if missing.keys() & info.rejects_by_reason.keys():
            for reject in read_rejects(version.root, info.fingerprint):
                if reject.reason in missing:
                    found[reject.reason].append(reject)
                    missing[reject.reason] -= 1
                    if missing[reject.reason] <= 0:
                        del missing[reject.reason]
        if not missing:
            break
    return found


def _passing(batch: Any) -> dict[str, NDArray[Any]]:
    """The people of these rows that pass the gate: [N] each, keypoints [N, 17, 3]."""
    lists, people = batch.column("people"), batch.column("people").flatten()
    pixels = batch.column("width_px").to_numpy() * batch.column("height_px").to_numpy()
    of_photo = np.repeat(pixels, lists.value_lengths().to_numpy())
    keypoints = people.field("keypoints").flatten().flatten().to_numpy()
    areas = people.field("mask_area_px").fill_null(0).to_numpy()
    passing = people.field("passes_gate").to_numpy(zero_copy_only=False)
    columns = {
        "score": people.field("score").to_numpy(),
        "keypoints": keypoints.reshape(-1, 17, 3),
        "mask_share": areas / of_photo,
    }
    return {name: values[passing] for name, values in columns.items()}


def _bins(values: NDArray[Any]) -> Counter[int]:
    """How many values lie between each whole number and the next."""
    numbers, counts = np.unique(values.astype(np.int64), return_counts=True)
    return Counter(dict(zip(numbers.tolist(), counts.tolist(), strict=True)))


def _named(bins: Counter[int], width: float) -> dict[str, int]:
    return {f"{index * width:.2f}": bins[index] for index in sorted(bins)}
