"""Is everything but people left as it was? Prompts of other domains, each model against the base.

Ours (DESIGN 7, Next Check 3). HcP layers keep every bit of a prompt without human words; other
methods change it, and by how much is said for each category.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hcp.base import BasePipeline
from hcp.evaluation.comparison import Pictures, pixel_difference
from hcp.evaluation.drawing import Drawing, DrawnHere
from hcp.evaluation.inputs import check_inputs
from hcp.evaluation.interval import Interval, mean_of_known, paired_interval
from hcp.evaluation.measures import Measure, not_measured, with_figures
from hcp.evaluation.results import (
    BASE,
    CANDIDATE,
    EvaluationConfig,
    EvaluationReport,
    MeasureCard,
    PictureSet,
    check_prompts,
)
from hcp.evaluation.similarity import TextScorer
from hcp.tokens import human_spans
from hcp.training.methods.trained import Trained
from storage.errors import HcpError
from storage.locations import read_bytes

BUILT_IN: Mapping[str, Path] = {
    path.stem: path for path in sorted((Path(__file__).parent / "prompt_sets").glob("*.txt"))
}
"""``real`` for bases trained on real pictures, ``embedded`` in the words of the drawn world."""
PEOPLE = "people"
"""Categories whose name begins so hold prompts with human words, which may change."""

PromptSet = Mapping[str, tuple[str, ...]]
"""Category -> its prompts."""


def read_prompt_set(name_or_place: str) -> PromptSet:
    """The prompts of a built-in set, or of a text file with a line ``category: prompt`` for each.

    Raises:
        HcpError: it cannot be read or has none, a line has no category, a prompt is repeated, or a
            prompt has human words and its category is not of people, or the other way round.
    """
    where = f"evaluation.out_of_domain {name_or_place}"
    try:
        path = BUILT_IN.get(name_or_place)
        data = path.read_bytes() if path else read_bytes(name_or_place)
        lines = data.decode("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        known = ", ".join(BUILT_IN)
        raise HcpError(f"{where}: neither a built-in set ({known}) nor a text file: {error}") from (
            error
        )
    found: dict[str, list[str]] = {}
    for i, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        category, colon, prompt = (part.strip() for part in line.partition(":"))
        if not (category and colon and prompt):
            raise HcpError(f"{where}, line {i}: expected 'category: prompt', got {line[:80]!r}")
        spans = [span.text for span in human_spans(prompt)]
        if bool(spans) != category.startswith(PEOPLE):
            said = f"has the human words {spans}" if spans else "has no human word"
            raise HcpError(
                f"{where}, line {i}: {prompt[:80]!r} {said}; prompts with human words, and they "
                f"alone, belong into a category whose name begins with {PEOPLE!r}, got {category!r}"
            )
        found.setdefault(category, []).append(prompt)
    if not found:
        raise HcpError(f"{where}: expected lines 'category: prompt', got none")
    try:
        check_prompts(where, [prompt for prompts in found.values() for prompt in prompts])
    except ValueError as error:
        raise HcpError(str(error)) from error
    return {category: tuple(prompts) for category, prompts in found.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """How far one model's pictures of a category are from the base's."""

    differences: tuple[float, ...]  # of each picture: mean absolute, levels 0-255
    text_scores: tuple[float, ...] | None  # of each picture; None: no scorer

    @property
    def identical_share(self) -> float:
        """Share of the pictures that are the base's, bit for bit."""
        return float(np.mean([difference == 0 for difference in self.differences]))


def draw_out_of_domain(
    pipeline: BasePipeline,
    trained: Mapping[str, Trained],
    prompts: PromptSet,
    *,
    config: EvaluationConfig,
    text_scorer: TextScorer | None = None,
    drawing: Drawing | None = None,
) -> dict[str, dict[str, Drift]]:
    """Draw each prompt once, from the config's first seed, with the base and with each model.

    Args:
        pipeline: the base, without an adapter.
        trained: arm -> what was trained, of any method.
        drawing: where the pictures come from; None: the pipeline draws them.
    Returns:
        arm, the base's too -> category -> its pictures' differences from the base.
    Raises:
        CheckpointError: something trained does not fit the pipeline.
    """
    wanted = out_of_domain_set(prompts, config)
    order = wanted.prompts
    check_inputs(pipeline, order, steps=config.steps)
    source = drawing or DrawnHere(pipeline=pipeline, trained=trained, config=config)
    images = {name: list(source.pictures(name, wanted)) for name in (BASE, *trained)}
    differences = {
        name: [pixel_difference(ours, base) for ours, base in zip(own, images[BASE], strict=True)]
        for name, own in images.items()
    }
    scores = {
        name: text_scorer(own, order) if text_scorer else None for name, own in images.items()
    }
    return {
        name: {
            category: Drift(
                differences=tuple(_of(prompts, category, differences[name])),
                text_scores=None if own is None else tuple(_of(prompts, category, own)),
            )
            for category in prompts
        }
        for name, own in scores.items()
    }


def out_of_domain_set(prompts: PromptSet, config: EvaluationConfig) -> PictureSet:
    """Each prompt once, from the config's first seed."""
    order = tuple(prompt for own in prompts.values() for prompt in own)
    return PictureSet(prompts=order, seeds=config.seeds[:1])


def _of(prompts: PromptSet, category: str, values: Sequence[float]) -> Sequence[float]:
    first = 0
    for name, own in prompts.items():
        if name == category:
            return values[first : first + len(own)]
        first += len(own)
    raise KeyError(category)


def out_of_domain_measure(
    pipeline: BasePipeline,
    trained: Mapping[str, Trained],
    *,
    config: EvaluationConfig,
    text_scorer: TextScorer | None = None,
    drawing: Drawing | None = None,
) -> Measure:
    """The measure of ``config.out_of_domain``; where that is None, it says that it is off.

    Raises:
        HcpError: the prompts cannot be used.
    """
    prompts = None if config.out_of_domain is None else read_prompt_set(config.out_of_domain)
    if prompts is not None:
        check_inputs(pipeline, [p for own in prompts.values() for p in own], steps=config.steps)

    def measure(report: EvaluationReport, _: Pictures) -> EvaluationReport:
        if prompts is None:
            why = f"evaluation.out_of_domain is off: a file, or one of {', '.join(BUILT_IN)}"
            return not_measured(report, out_of_domain=why)
        drifts = draw_out_of_domain(
            pipeline, trained, prompts, config=config, text_scorer=text_scorer, drawing=drawing
        )
        for category in prompts:
            own = {name: drifts[name][category] for name in report.arms if name in drifts}
            report = _with_category(report, category, own)
        if text_scorer is None:
            report = not_measured(report, out_of_domain_text="no CLIP model is configured")
        return report

    return measure


def _with_category(
    report: EvaluationReport, category: str, drifts: Mapping[str, Drift]
) -> EvaluationReport:
    name = "out_of_domain_" + "_".join(category.replace("-", " ").split())
    allowed = ", a change is allowed" if category.startswith(PEOPLE) else ""
    n = len(drifts[BASE].differences)
    changed = MeasureCard(
        name=f"{name}_change", title=f"Change of {category}", better="neither",
        note=f"mean absolute, of 255 levels, {n} prompts{allowed}",
    )  # fmt: skip
    same = MeasureCard(
        name=f"{name}_identical", title=f"… {category}, bit-identical", better="neither",
        note=f"pictures that are the base's{allowed}", percent=True,
    )  # fmt: skip
    means = {arm: mean_of_known(drift.differences) for arm, drift in drifts.items()}
    known = {arm: mean for arm, mean in means.items() if mean is not None}
    report = with_figures(report, changed, known)
    report = with_figures(report, same, {a: d.identical_share for a, d in drifts.items()})
    scores = {arm: d.text_scores for arm, d in drifts.items() if d.text_scores is not None}
    if not scores:
        return report
    text = MeasureCard(
        name=f"{name}_text", title=f"CLIP score of {category}", better="higher",
        note=f"picture against prompt, {n} prompts",
    )  # fmt: skip
    figures = {arm: float(np.mean(own)) for arm, own in scores.items()}
    return with_figures(report, text, figures, _intervals(report, scores))


def _intervals(
    report: EvaluationReport, scores: Mapping[str, Sequence[float]]
) -> dict[str, Interval]:
    config, ours = report.config, scores[CANDIDATE]
    return {
        other: paired_interval(
            ours, scores[other], groups=range(len(ours)),
            level=config.level, n_resamples=config.n_resamples,
        )
        for other in report.comparisons
        if other in scores
    }  # fmt: skip
