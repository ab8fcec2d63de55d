"""Whether the judge is the teacher: by digest, never by name; said in a sentence."""

import pytest

from hcp.evaluation.judge import Teacher, judge_note
from storage.errors import HcpError

OURS, THEIRS = "aa" * 32, "bb" * 32
DATA = Teacher(of="dataset /d@1", sha256=THEIRS, name="yolo11n-pose.pt")
LEARNED = Teacher(of="the candidate's data (1)", sha256=THEIRS)


def test_a_judge_with_the_teachers_digest_is_refused_whatever_its_name() -> None:
    with pytest.raises(HcpError) as refused:
        judge_note("copy-of-it.pt", THEIRS, [DATA])
    said = str(refused.value)
    for part in ("copy-of-it.pt", THEIRS, "dataset /d@1", "expected another pose model",
                 "judge.weights", "--set allow_teacher_judge=true"):  # fmt: skip
        assert part in said


def test_one_teacher_among_several_is_enough() -> None:
    other = Teacher(of="dataset /e@2", sha256="cc" * 32)
    for teachers in ([other, LEARNED], [LEARNED, other, Teacher(of="more", sha256="")]):
        with pytest.raises(HcpError, match="the candidate's data"):
            judge_note("j", THEIRS, teachers)


def test_where_it_is_allowed_the_note_says_so() -> None:
    note = judge_note("j", THEIRS, [DATA, LEARNED], allow=True)
    assert note.standing == "teacher"
    assert note.text.startswith("The judge is the teacher: j made the priors of dataset /d@1 and")
    assert "allow_teacher_judge" in note.text


def test_another_digest_is_independent_even_of_the_same_name() -> None:
    note = judge_note("yolo11n-pose.pt", OURS, [DATA, LEARNED], error="AP .5")
    assert (note.standing, note.sha256, note.error) == ("independent", OURS, "AP .5")
    assert note.text.endswith("priors of dataset /d@1 and the candidate's data (1).")


def test_what_is_not_known_is_said() -> None:
    nothing = judge_note("j", OURS, [])
    assert nothing.standing == "not known"
    assert "Not known whether j also made the priors: no dataset is given" in nothing.text
    older = Teacher(of="dataset /old@1", sha256="", name="embedded")
    for teachers in ([older], [older, LEARNED]):  # knowing some of it is not knowing
        note = judge_note("j", OURS, teachers)
        assert note.standing == "not known"
        assert "dataset /old@1 records no digest of its pose model, only its name, embedded" in (
            note.text
        )
