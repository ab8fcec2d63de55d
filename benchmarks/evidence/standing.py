"""Whether the judge is the teacher, and how often it is wrong itself."""

from dataclasses import replace

from flows.judge import stated_error, teacher_of
from flows.params import EvaluateSettings
from hcp.evaluation.judge import judge_note
from priors.config import ModelConfig
from priors.weights import resolve_weights
from storage.versions import DatasetVersion


def judge_standing(judge: ModelConfig, version: DatasetVersion, given: EvaluateSettings) -> str:
    """What is known of the judge, in a sentence or two.

    Args:
        judge: with the place of its weights.
        version: of the data set that the arms train on.
        given: whether the teacher may judge.
    Raises:
        HcpError: it made the priors, and that is not allowed.
        WeightsError: its weights cannot be had.
    """
    weights = resolve_weights(judge.weights, trust=judge.trust_weights)
    teacher = replace(teacher_of(version), of="the people set")  # wherever that lies
    note = judge_note(
        given.judge.weights, weights.weights_sha256, [teacher],
        allow=given.allow_teacher_judge, error=stated_error(judge.weights),
    )  # fmt: skip
    return f"{note.text} Its own error: {note.error or 'not stated'}."
