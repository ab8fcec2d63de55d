"""What the body judge and a dataset's people say of each person of a picture."""

import pytest

from hcp.evaluation.opinions import opinions_of
from hcp.evaluation.people import NOT_AS_ASKED, Opinion, people_score, person_quality
from hcp.evaluation.poses import NEIGHBOURS, PoseBook
from tests.hcp.evaluation.test_pose_comparison import JUMPING, STANDING, upside_down
from tests.hcp.samples import make_person


def test_who_does_as_asked_is_said_where_the_prompt_names_an_action_of_the_dataset() -> None:
    standing, jumping = make_person(), upside_down(make_person())
    book = PoseBook.of([(STANDING, [standing]), (JUMPING, [jumping])] * NEIGHBOURS)
    asked = opinions_of([standing, jumping], JUMPING, soundness=[0.5, 0.25], poses=book)
    assert asked == [
        Opinion(soundness=0.5, as_asked=False), Opinion(soundness=0.25, as_asked=True)
    ]  # fmt: skip
    silent = opinions_of([standing], "a woman in a park", soundness=[0.5], poses=book)
    assert silent == [Opinion(soundness=0.5)]
    assert opinions_of([standing], JUMPING) == [Opinion()]
    assert opinions_of([], JUMPING, poses=book) == []


def test_opinions_multiply_into_the_score() -> None:
    person = make_person(score=0.8, confidence=0.5)  # alone 0.4
    assert person_quality(person, Opinion(soundness=0.5)) == pytest.approx(0.2)
    assert person_quality(person, Opinion(as_asked=True)) == pytest.approx(0.4)
    asked = person_quality(person, Opinion(soundness=0.5, as_asked=False))
    assert asked == pytest.approx(0.2 * NOT_AS_ASKED)
    weak = make_person(score=0.3)  # does not count
    both = [Opinion(soundness=1.0), Opinion(soundness=0.5)]
    assert people_score([weak, person], n_expected=2, opinions=both) == pytest.approx(0.1)
    with pytest.raises(ValueError, match="zip"):
        people_score([weak, person], n_expected=2, opinions=both[:1])
