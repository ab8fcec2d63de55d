"""Reports of evaluations, made by hand."""

from collections.abc import Mapping
from dataclasses import replace

from hcp.evaluation.interval import Interval
from hcp.evaluation.results import ArmReport, Comparison, EvaluationConfig, EvaluationReport

ARM = ArmReport(
    people_score=0.5, detection_rate=1.0, count_error=0.0, keypoint_confidence=None,
    implausible_limb_rate=None, n_person_pictures=3, pixel_difference=0.0, identical_share=1.0,
    text_score=None, attention_share=None, human_map_share=None, fid=None, kid=None,
)  # fmt: skip
BETTER = Interval(mean=0.2, low=0.1, high=0.3, n=12)


def arm(people_score: float, *, fid: float | None = None) -> ArmReport:
    return replace(ARM, people_score=people_score, fid=fid)


def report_of(
    people: Mapping[str, Interval] | None = None,
    *,
    text: Interval | None = None,
    **arms: ArmReport,
) -> EvaluationReport:
    """A report with these arms; ``people``: intervals of the people score to other arms."""
    return EvaluationReport(
        arms=arms,
        comparisons={
            name: Comparison(people_score=interval, text_score=text, attention_share=None)
            for name, interval in (people or {"base": BETTER}).items()
        },
        attention_chance=None,
        n_photos=0,
        not_measured={"kid": "no feature network"}
        | ({} if text else {"text_score": "no CLIP model is configured"}),
        config=EvaluationConfig(),
    )
