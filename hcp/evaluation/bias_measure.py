"""The bias measure of an evaluation: draw the neutral prompts, look at the people, compare them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from hcp.base import BasePipeline
from hcp.evaluation.bias import Resampling, compare_people
from hcp.evaluation.bias_results import BiasConfig, BiasReport
from hcp.evaluation.bias_traits import (
    TRUNK,
    Seen,
    crop,
    look_at,
    presented,
)
from hcp.evaluation.comparison import Pictures
from hcp.evaluation.drawing import Drawing, DrawnHere
from hcp.evaluation.generation import Image8
from hcp.evaluation.inputs import check_inputs
from hcp.evaluation.measures import Measure, not_measured, with_figures
from hcp.evaluation.people import counted_people
from hcp.evaluation.results import (
    BASE,
    CANDIDATE,
    EvaluationConfig,
    EvaluationReport,
    MeasureCard,
    PictureSet,
)
from hcp.evaluation.similarity import TextScorer
from hcp.training.methods.trained import Trained
from storage.records import Person

PeopleDetector = Callable[[Sequence[Image8]], list[list[Person]]]
PeopleMasker = Callable[[Sequence[Image8], Sequence[Sequence[Person]]], Sequence[NDArray[np.bool_]]]
"""Images and their people -> for each image the people's masks [P, H, W]."""

AT_ONCE = 64
"""Pictures that are held until their people were looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BiasTools:
    """What looks at people; what is None leaves its traits out."""

    detector: PeopleDetector
    masker: PeopleMasker | None = None
    scorer: TextScorer | None = None  # CLIP
    why_no_masks: str = "no mask model is configured (mask_model)"

    def lacking(self) -> dict[str, str]:
        """Traits that cannot be measured, with the reason."""
        missing: dict[str, str] = {}
        if self.masker is None:
            missing[TRUNK.name] = self.why_no_masks
        if self.scorer is None:
            missing["presentation"] = "no CLIP model is configured (clip_model)"
        return missing

    def look(
        self,
        images: Sequence[Image8],
        prompts: Sequence[int],
        pairs: Sequence[tuple[str, str]] = (),
    ) -> list[Seen]:
        """Everybody in the pictures; ``prompts``: index of each picture's prompt."""
        people = [counted_people(found) for found in self.detector(images)]
        masks = [None] * len(images) if self.masker is None else self.masker(images, people)
        seen = [
            look_at(image, person, prompt=prompt, mask=None if mask is None else mask[i])
            for image, prompt, own, mask in zip(images, prompts, people, masks, strict=True)
            for i, person in enumerate(own)
        ]
        if self.scorer is None:
            return seen
        crops = [
            crop(image, person) for image, own in zip(images, people, strict=True) for person in own
        ]
        shown = presented(crops, pairs, self.scorer)
        return [
            replace(each, values={**each.values, **values})
            for each, values in zip(seen, shown, strict=True)
        ]


def bias_set(bias: BiasConfig) -> PictureSet:
    """What base and candidate draw."""
    return PictureSet(prompts=bias.drawn_prompts(), seeds=bias.seeds)


def bias_measure(
    pipeline: BasePipeline,
    candidate: Trained,
    tools: BiasTools,
    config: EvaluationConfig,
    *,
    drawing: Drawing | None = None,
) -> Measure:
    """The measure: base and candidate draw the neutral prompts of ``config.bias``.

    Args:
        drawing: where the pictures come from; None: the pipeline draws them.
    Raises:
        HcpError: the base cannot draw them.
    """
    bias = config.bias
    if not bias.enabled:
        n = len(bias.drawn_prompts()) * len(bias.seeds)
        why = f"evaluation.bias.enabled is off; on, each model draws {n} more pictures"
        return lambda report, _: not_measured(report, who_is_drawn=why)
    notes = check_inputs(
        pipeline, bias.drawn_prompts(), steps=config.steps, name="evaluation.bias.prompts"
    )
    if tools.scorer is None:
        bias = replace(bias, presentation=())
    source = drawing or DrawnHere(pipeline=pipeline, trained={CANDIDATE: candidate}, config=config)

    def measure(report: EvaluationReport, _: Pictures) -> EvaluationReport:
        people = {
            name: list(_drawn_people(source, name, tools, replace(config, bias=bias)))
            for name in (BASE, CANDIDATE)
        }
        resampling = Resampling(level=config.level, n_resamples=config.n_resamples)
        found = compare_people(people, bias, resampling=resampling, lacking=tools.lacking())
        return with_bias(replace(report, notes=(*report.notes, *notes)), found)

    return measure


def _drawn_people(
    drawing: Drawing, arm: str, tools: BiasTools, config: EvaluationConfig
) -> Iterator[Seen]:
    wanted = bias_set(config.bias)
    numbers = (i for i in range(len(wanted.prompts)) for _ in wanted.seeds)
    step = max(1, AT_ONCE // config.batch_size) * config.batch_size
    left = drawing.pictures(arm, wanted)
    while images := list(islice(left, step)):
        yield from tools.look(images, list(islice(numbers, len(images))), config.bias.presentation)


def with_bias(report: EvaluationReport, found: BiasReport) -> EvaluationReport:
    """The report with who was drawn: a section of its own, and a row for each measured trait."""
    report = replace(not_measured(report, **found.not_measured), bias=found)
    for trait in found.traits:
        card = MeasureCard(
            name=trait.name, title=trait.title, note=trait.note, better="neither",
            percent=trait.percent,
        )  # fmt: skip
        figures = {name: own.mean for name, own in trait.arms.items()}
        report = with_figures(report, card, figures, {BASE: trait.shifts[0].difference})
    return report
