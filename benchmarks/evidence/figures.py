"""From judged pictures to means and intervals over training seeds and prompts.

Dimension legend: R resamples, S training seeds, N pictures (or photos).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.evidence.judging import features_path
from benchmarks.evidence.settings import BASE_ARM
from hcp.evaluation.fidelity.distances import Features
from hcp.evaluation.fidelity.kid_interval import KidSums
from hcp.evaluation.interval import Floats, Interval, Resamples, interval_of, resamples

KID, ATTENTION = "kid_x1000", "attention"
ATTENTION_BASE = "attention_base"  # the base's share, in the layers that an arm has


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureInfo:
    """One column of the table."""

    title: str
    where: str  # in a job's figures: people, others, photos; "": from features
    better: int  # 1: more, -1: less, 0: neither
    digits: int = 3


MEASURES: Mapping[str, MeasureInfo] = {
    "people_score": MeasureInfo(title="people score", where="people", better=1),
    "pose_as_asked": MeasureInfo(title="pose as asked", where="people", better=1),
    "pose_distance": MeasureInfo(title="pose distance", where="people", better=-1),
    "person_found": MeasureInfo(title="person found", where="people", better=1),
    "count_error": MeasureInfo(title="count error", where="people", better=-1),
    KID: MeasureInfo(title="KID x 1000", where="", better=-1, digits=1),
    ATTENTION: MeasureInfo(title="attention inside people", where="photos", better=1),
    "drift": MeasureInfo(title="drift, levels of 255", where="others", better=-1),
    "identical": MeasureInfo(title="identical without people", where="others", better=1),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The figures of one arm and training seed."""

    arm: str
    seed: int
    facts: Mapping[str, Any]
    features: Features | None = None

    @classmethod
    def read(cls, path: Path) -> "Judged":
        """From the file that a job wrote."""
        facts = json.loads(path.read_text())
        place = features_path(path)
        features = np.load(place) if place.is_file() else None
        return cls(arm=facts["arm"], seed=facts["seed"], facts=facts, features=features)

    def values(self, name: str) -> Floats | None:
        """Of each picture or photo, NaN where unknown; None where the measure is not there."""
        where = "photos" if name == ATTENTION_BASE else MEASURES[name].where
        found = self.facts.get(where, {}).get(name)
        if found is None or all(each is None for each in found):
            return None
        return np.array([np.nan if each is None else each for each in found], dtype=np.float64)


@dataclass(eq=False, kw_only=True)
class Evidence:
    """Everything that was judged; figures of arms, and of differences and ratios between them."""

    judged: Sequence[Judged]
    photos: Features | None = None  # that KID is measured to
    n_resamples: int = 2000
    level: float = 0.95
    _of: dict[str, dict[int, Judged]] = field(init=False)

    def __post_init__(self) -> None:
        self._of = {}
        for each in sorted(self.judged, key=lambda each: each.seed):
            self._of.setdefault(each.arm, {})[each.seed] = each
        self._kid_sums = lru_cache(maxsize=None)(self._new_kid_sums)

    @property
    def arms(self) -> list[str]:
        """Their names."""
        return list(self._of)

    def seeds(self, arm: str) -> list[int]:
        """Training seeds that were judged; [0] for what was not trained."""
        return list(self._of.get(arm, {}))

    def fact(self, arm: str, name: str) -> Any:
        """One of the arm's facts, of its first seed."""
        return next(iter(self._of[arm].values())).facts.get(name)

    def facts(self, arm: str, name: str) -> list[Any]:
        """One of the arm's facts, of each seed."""
        return [each.facts.get(name) for each in self._of[arm].values()]

    def mean(self, arm: str, name: str) -> Interval | None:
        """An arm's own figure; None where it was not measured."""
        seeds = self.seeds(arm)
        return self._interval(name, self._figures(arm, name, seeds), arm)

    def by_seed(self, arm: str, name: str) -> list[float]:
        """The figure of each training seed's model."""
        found = [self._figures(arm, name, [seed]) for seed in self.seeds(arm)]
        return [float(each[0]) for each in found if each is not None]

    def difference(self, ours: str, theirs: str, name: str) -> Interval | None:
        """``ours - theirs``, paired by prompt, and by training seed where both were trained."""
        pair = self._pair(ours, theirs, name)
        return None if pair is None else self._interval(name, pair[0] - pair[1], ours)

    def ratio(self, ours: str, theirs: str, name: str) -> Interval | None:
        """``ours / theirs``, paired likewise; None where theirs is not above 0."""
        pair = self._pair(ours, theirs, name)
        if pair is None or pair[1][0] <= 0:
            return None
        with np.errstate(divide="ignore", invalid="ignore"):
            quotient = np.where(pair[1] > 0, pair[0] / pair[1], np.nan)
        return self._interval(name, quotient, ours)

    def share_closed(self, ours: str, base: str, ceiling: str, name: str) -> Interval | None:
        """``(ours - base) / (ceiling - base)``: how much of the distance an arm closes."""
        pair, top = self._pair(ours, base, name), self._pair(ceiling, base, name)
        if pair is None or top is None or top[0][0] == top[1][0]:
            return None
        with np.errstate(divide="ignore", invalid="ignore"):
            return self._interval(name, (pair[0] - pair[1]) / (top[0] - top[1]), ours)

    def _pair(self, ours: str, theirs: str, name: str) -> tuple[Floats, Floats] | None:
        mine, other = self.seeds(ours), self.seeds(theirs)
        if not mine or not other:
            return None
        if name == ATTENTION and theirs == BASE_ARM:
            a, b = (self._figures(ours, each, mine) for each in (ATTENTION, ATTENTION_BASE))
            return None if a is None or b is None else (a, b)
        trained = [arm for arm in (ours, theirs) if not self._is_untrained(arm)]
        common = [seed for seed in mine if seed in other] if len(trained) == 2 else mine
        if not common:
            return None
        a = self._figures(ours, name, common)
        b = self._figures(theirs, name, common if len(trained) == 2 else other)
        return None if a is None or b is None else (a, b)

    def _is_untrained(self, arm: str) -> bool:
        return self.fact(arm, "losses") is None

    def _figures(self, arm: str, name: str, seeds: Sequence[int]) -> Floats | None:
        """The figure in each resample, [1 + R]; None where it was not measured."""
        rows = [self._of[arm][seed] for seed in seeds]
        if not rows:
            return None
        if name == KID:
            return self._kid(rows)
        values = [each.values(name) for each in rows]
        if any(each is None for each in values):
            return None
        stacked = np.stack([each for each in values if each is not None])
        return self._drawn(len(rows), stacked.shape[1]).means(stacked)

    def _kid(self, rows: Sequence[Judged]) -> Floats | None:
        if self.photos is None or any(each.features is None for each in rows):
            return None
        sums = [self._kid_sums(each.arm, each.seed) for each in rows]
        drawn = self._drawn(len(rows), len(sums[0].counts))
        kids = np.stack([each.kid(drawn.pictures) for each in sums], axis=1)
        return 1000 * drawn.over_seeds(kids)

    def _new_kid_sums(self, arm: str, seed: int) -> KidSums:
        features = self._of[arm][seed].features
        assert features is not None
        assert self.photos is not None
        n = len(features)
        return KidSums.of(features, self.photos, groups=range(n), n_groups=n)

    def _drawn(self, n_seeds: int, n: int) -> Resamples:
        return _resamples(n_seeds, n, self.n_resamples)

    def _interval(self, name: str, figures: Floats | None, arm: str) -> Interval | None:
        if figures is None or np.isnan(figures[0]):
            return None
        n = len(self.fact(arm, MEASURES[name].where or "people").get(name, ()))
        n = n or len(self.fact(arm, "people")["people_score"])
        return interval_of(figures, n=n, level=self.level)


@lru_cache(maxsize=32)
def _resamples(n_seeds: int, n: int, n_resamples: int) -> Resamples:
    return resamples(n_seeds, range(n), n_resamples=n_resamples)


def plain(interval: Interval | None) -> dict[str, float] | None:
    """As JSON."""
    return None if interval is None else {k: round(v, 5) for k, v in asdict(interval).items()}
