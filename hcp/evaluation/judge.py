"""The judge is not the teacher: what is known of the pose model that judges pictures.

A model that made the priors of the training photos taught the candidate its own mistakes; as the
judge it would count them as right. Two models are the same if the digests of their weights are,
whatever they are called.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from storage.errors import HcpError

Standing = Literal["independent", "teacher", "not known"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Teacher:
    """The pose model that made the priors of some data."""

    of: str  # the data: "dataset /data@4bd1..."
    sha256: str  # of its weights; "": the data does not say
    name: str = ""  # as the data has it


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeNote:
    """What a report says of its judge."""

    name: str
    sha256: str  # of its weights
    standing: Standing
    text: str  # whether it is the teacher, in a sentence
    error: str = ""  # how often it is wrong itself, and where that was measured; "": not stated


def judge_note(
    name: str, sha256: str, teachers: Sequence[Teacher], *, allow: bool = False, error: str = ""
) -> JudgeNote:
    """Compare a judge with the teachers of all data that matters.

    Args:
        name: of the judge, for people.
        sha256: of its weights.
        teachers: of the evaluation's dataset and of what the candidate learned from.
        allow: go on where the judge is a teacher; the note says so.
        error: of the judge itself, for people.

    Raises:
        HcpError: the judge is a teacher, and that is not allowed.
    """
    same = _named(each for each in teachers if each.sha256 == sha256)
    unknown = [each for each in teachers if not each.sha256]
    if same and not allow:
        raise HcpError(
            f"the judge is the teacher: {name} has the weights ({sha256}) that made the "
            f"priors of {same}; expected another pose model, as what it sees wrongly would count "
            "as right. Give another one with judge.weights (--pose-model), or allow it with "
            "allow_teacher_judge: true (--set allow_teacher_judge=true, in a pipeline or an "
            "ablation --set evaluate.allow_teacher_judge=true): the report is marked then"
        )
    standing: Standing = "independent"
    text = f"{name} is not the model that made the priors of {_named(teachers)}."
    if same:
        standing = "teacher"
        text = (
            f"The judge is the teacher: {name} made the priors of {same}, and what it sees wrongly "
            "counts as right (allow_teacher_judge)."
        )
    elif unknown or not teachers:
        standing, text = "not known", _not_known(name, unknown)
    return JudgeNote(name=name, sha256=sha256, standing=standing, text=text, error=error)


def _not_known(name: str, unknown: Sequence[Teacher]) -> str:
    why = (
        f"{_named(unknown)} records no digest of its pose model"
        if unknown
        else "no dataset is given, and the checkpoint does not say"
    )
    hint = sorted({each.name for each in unknown if each.name})
    named = f", only its name, {' and '.join(hint)}" if hint else ""
    return f"Not known whether {name} also made the priors: {why}{named}."


def _named(teachers: Iterable[Teacher]) -> str:
    return " and ".join(dict.fromkeys(each.of for each in teachers))
