"""What an evaluation measures task by task: poses, clothes, and other domains."""

from collections.abc import Iterable, Mapping

from hcp.base import BasePipeline
from hcp.evaluation.bias_measure import bias_set
from hcp.evaluation.clothing import colour_measure, text_measure
from hcp.evaluation.comparison import Pictures
from hcp.evaluation.drawing import Drawing, DrawnHere, Part, parts_of
from hcp.evaluation.inputs import check_inputs
from hcp.evaluation.measures import Measure, not_measured
from hcp.evaluation.out_of_domain import (
    out_of_domain_measure,
    out_of_domain_set,
    read_prompt_set,
)
from hcp.evaluation.pose_distribution import pose_measures
from hcp.evaluation.poses import PoseBook
from hcp.evaluation.results import (
    BASE,
    CANDIDATE,
    EvaluationConfig,
    EvaluationReport,
    PictureSet,
)
from hcp.evaluation.similarity import TextScorer
from hcp.training.methods.trained import Trained


def task_measures(
    pipeline: BasePipeline,
    trained: Mapping[str, Trained],
    *,
    config: EvaluationConfig,
    text_scorer: TextScorer | None = None,
    poses: PoseBook | None = None,
    drawing: Drawing | None = None,
) -> list[Measure]:
    """The measures, in the report's order.

    Args:
        trained: arm -> what was trained.
        drawing: where pictures of other domains come from; None: the pipeline draws them.
    Raises:
        HcpError: the prompts of other domains cannot be used; nothing was drawn then.
    """
    by_text = (
        text_measure(text_scorer, config.clothing)
        if text_scorer
        else reason(clothing_text="no CLIP model is configured")
    )
    other = out_of_domain_measure(
        pipeline, trained, config=config, text_scorer=text_scorer, drawing=drawing
    )
    return [*pose_measures(poses), colour_measure(config.clothing), by_text, other]


def drawn_sets(config: EvaluationConfig, arms: Iterable[str]) -> list[tuple[str, PictureSet]]:
    """All that an evaluation draws: an arm and a set of pictures each.

    Raises:
        HcpError: the prompts of other domains cannot be read.
    """
    arms, sets = tuple(arms), [config.picture_set()]
    if config.out_of_domain is not None:
        sets.append(out_of_domain_set(read_prompt_set(config.out_of_domain), config))
    found = [(arm, each) for each in sets for arm in arms]
    if config.bias.enabled:
        neutral = bias_set(config.bias)
        found += [(arm, neutral) for arm in arms if arm in (BASE, CANDIDATE)]
    return found


def plan(here: DrawnHere, *, n_photos: int, n_parts: int) -> list[Part]:
    """All that an evaluation is to draw and probe, without what is kept, in about so many parts.

    Raises:
        HcpError: the base cannot draw the prompts, or those of other domains cannot be read.
    """
    config, trained = here.config, tuple(here.trained)
    check_inputs(here.pipeline, config.prompts, steps=config.steps)
    wanted = [
        (arm, each)
        for arm, each in drawn_sets(config, (BASE, *trained))
        if arm != BASE or here.kept is None or not here.kept.has(each)
    ]
    return parts_of(
        wanted, probed=trained, n_photos=n_photos, batch_size=config.batch_size, n_parts=n_parts
    )


def reason(**reasons: str) -> Measure:
    """A measure that says why the named ones have no figure."""

    def measure(report: EvaluationReport, _: Pictures) -> EvaluationReport:
        return not_measured(report, **reasons)

    return measure
