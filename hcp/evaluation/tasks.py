"""What an evaluation measures task by task: poses, clothes, and other domains."""

from collections.abc import Mapping

from hcp.base import BasePipeline
from hcp.evaluation.clothing import colour_measure, text_measure
from hcp.evaluation.comparison import Pictures
from hcp.evaluation.measures import Measure, not_measured
from hcp.evaluation.out_of_domain import out_of_domain_measure
from hcp.evaluation.pose_distribution import pose_measures
from hcp.evaluation.poses import PoseBook
from hcp.evaluation.results import EvaluationConfig, EvaluationReport
from hcp.evaluation.similarity import TextScorer
from hcp.training.methods.trained import Trained


def task_measures(
    pipeline: BasePipeline,
    trained: Mapping[str, Trained],
    *,
    config: EvaluationConfig,
    text_scorer: TextScorer | None = None,
    poses: PoseBook | None = None,
) -> list[Measure]:
    """The measures, in the report's order.

    Args:
        trained: arm -> what was trained.
    Raises:
        HcpError: the prompts of other domains cannot be used; nothing was drawn then.
    """
    by_text = (
        text_measure(text_scorer, config.clothing)
        if text_scorer
        else reason(clothing_text="no CLIP model is configured")
    )
    other = out_of_domain_measure(pipeline, trained, config=config, text_scorer=text_scorer)
    return [*pose_measures(poses), colour_measure(config.clothing), by_text, other]


def reason(**reasons: str) -> Measure:
    """A measure that says why the named ones have no figure."""

    def measure(report: EvaluationReport, _: Pictures) -> EvaluationReport:
        return not_measured(report, **reasons)

    return measure
