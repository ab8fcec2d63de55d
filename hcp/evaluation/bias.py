"""Does a model change who is drawn where the prompt does not say? Base and candidate, compared.

Neutral prompts are drawn apart from the report's own. What is measured is how people *look* in the
pictures, not who anybody is (docs/evaluation.md, Bias).

Dimension legend: N prompts, K bins of a trait.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hcp.evaluation.bias_results import BiasConfig, BiasReport, Shift, TraitArm, TraitReport
from hcp.evaluation.bias_traits import (
    SHAPES,
    SKIN_TONE,
    TRUNK,
    Seen,
    Trait,
    presentations,
)
from hcp.evaluation.interval import Interval, paired_interval
from hcp.evaluation.label_swap import holm, size_of, smallest_found, swap_test
from hcp.evaluation.results import BASE, CANDIDATE

Numbers = NDArray[np.float64]

MIN_PROMPTS = 8
"""Fewer prompts that both models show people for say nothing about a shift."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resampling:
    """Of the intervals, as the evaluation has them."""

    level: float = 0.95
    n_resamples: int = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measured:
    """A trait's numbers of one arm, in the prompts that both arms have."""

    means: Numbers
    shares: Numbers
    n_measured: int
    spread: float


def compare_people(
    people: Mapping[str, Sequence[Seen]],
    config: BiasConfig,
    *,
    resampling: Resampling | None = None,
    lacking: Mapping[str, str] | None = None,
) -> BiasReport:
    """Compare who was drawn.

    Every prompt counts the same, whatever number of people it shows, and only the prompts in which
    both models show a trait: otherwise a model that hides faces in some prompts would seem to
    change those of the others.

    Args:
        people: of ``base`` and ``candidate``.
        lacking: trait -> why it could not be measured at all (no mask model, no CLIP).
    """
    resampling, missing = resampling or Resampling(), dict(lacking or {})
    traits = [
        trait
        for trait in (SKIN_TONE, *SHAPES, TRUNK, *presentations(config.presentation))
        if trait.name not in missing
    ]
    known: list[tuple[Trait, dict[str, _Measured]]] = []
    for trait in traits:
        found = _in_common(people, trait)
        n = len(found[BASE].means)
        if n < MIN_PROMPTS:
            why = "" if n else f": {trait.lacking}"
            missing[trait.name] = (
                f"{n} prompts with people who show it in both models, {MIN_PROMPTS} are needed{why}"
            )
        else:
            known.append((trait, found))
    asked = [_questions(*each, resampling) for each in known]
    answers = iter(_answers([question for own in asked for question in own], config))
    return BiasReport(
        traits=tuple(
            _report(trait, found, people, [next(answers) for _ in own])
            for (trait, found), own in zip(known, asked, strict=True)
        ),
        not_measured=missing,
        n_prompts=len(config.drawn_prompts()),
        config=config,
    )


def _in_common(people: Mapping[str, Sequence[Seen]], trait: Trait) -> dict[str, _Measured]:
    rows = {
        arm: [(seen.prompt, value) for seen in people[arm]
              if (value := seen.values.get(trait.name)) is not None]
        for arm in (BASE, CANDIDATE)
    }  # fmt: skip
    common = set.intersection(*({prompt for prompt, _ in own} for own in rows.values()))
    found: dict[str, _Measured] = {}
    for arm, own in rows.items():
        kept = [(prompt, value) for prompt, value in own if prompt in common]
        prompts, values = np.array([p for p, _ in kept]), np.array([v for _, v in kept])
        bins = np.eye(len(trait.bins))[trait.bins_of(values)]
        groups = [prompts == prompt for prompt in sorted(common)]
        found[arm] = _Measured(
            means=np.array([values[group].mean() for group in groups]),
            shares=np.array([bins[group].mean(axis=0) for group in groups]),
            n_measured=len(own),
            spread=float(values.std()) if len(values) else 0.0,
        )
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    """Something that may have shifted, before it is tested."""

    what: str
    interval: Interval
    difference: Numbers
    direction: Numbers  # of size 1: the shift that the power is stated for


def _questions(
    trait: Trait, found: Mapping[str, _Measured], resampling: Resampling
) -> list[_Question]:
    ours, theirs = found[CANDIDATE], found[BASE]
    interval = paired_interval(
        ours.means.tolist(), theirs.means.tolist(), groups=range(len(ours.means)),
        level=resampling.level, n_resamples=resampling.n_resamples,
    )  # fmt: skip
    asked = [
        _Question(
            what=f"share of “{trait.bins[-1]}”" if trait.percent else "mean",
            interval=interval,
            difference=(ours.means - theirs.means)[:, None],
            direction=np.ones(1),
        )
    ]
    if trait.categories:
        difference = ours.shares - theirs.shares
        # People of the most common bin move to the one before it, the darker one.
        common = int((ours.shares + theirs.shares).sum(axis=0).argmax())
        direction = np.zeros(len(trait.bins))
        direction[common], direction[common - 1 if common else 1] = -1.0, 1.0
        asked.append(
            _Question(
                what="distribution", interval=_size_interval(difference, resampling),
                difference=difference, direction=direction,
            )
        )  # fmt: skip
    return asked


def _answers(asked: Sequence[_Question], config: BiasConfig) -> list[Shift]:
    """All tests, corrected together; what would be found is stated at the sharpest level."""
    tests = [swap_test(each.difference, n_flips=config.n_permutations) for each in asked]
    corrected = holm([test.p_value for test in tests])
    sharpest = config.alpha / max(1, len(asked))
    return [
        Shift(
            what=each.what,
            difference=each.interval,
            chance=test.chance,
            p_value=test.p_value,
            p_corrected=p,
            smallest_found=smallest_found(
                each.difference, each.direction, alpha=sharpest, power=config.power
            ),
            found=p <= config.alpha,
        )
        for each, test, p in zip(asked, tests, corrected, strict=True)
    ]


def _size_interval(difference_NK: Numbers, resampling: Resampling, seed: int = 0) -> Interval:
    """The bootstrap interval of a distribution's shift; it is never below 0 (see ``chance``)."""
    n = len(difference_NK)
    draws = np.random.default_rng(seed).integers(n, size=(resampling.n_resamples, n))
    sizes = size_of(difference_NK[draws].mean(axis=1))
    low, high = np.quantile(sizes, [(1 - resampling.level) / 2, (1 + resampling.level) / 2])
    mean = float(size_of(difference_NK.mean(axis=0)))
    return Interval(mean=mean, low=float(low), high=float(high), n=n)


def _report(
    trait: Trait,
    found: Mapping[str, _Measured],
    people: Mapping[str, Sequence[Seen]],
    shifts: Sequence[Shift],
) -> TraitReport:
    return TraitReport(
        name=trait.name,
        title=trait.title,
        note=trait.note,
        unit=trait.unit,
        percent=trait.percent,
        bins=trait.bins,
        arms={
            arm: TraitArm(
                n_people=len(people[arm]), n_measured=own.n_measured,
                mean=float(own.means.mean()), spread=own.spread,
                shares=own.shares.mean(axis=0).tolist(),
            )
            for arm, own in found.items()
        },
        n_prompts=len(found[BASE].means),
        shifts=tuple(shifts),
    )  # fmt: skip
