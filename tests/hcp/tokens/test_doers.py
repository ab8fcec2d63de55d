"""Whose verb it is: the nearest phrase, or the subject."""

from hcp.tokens import lexicon as lx
from hcp.tokens.doers import nearest_is_human, subject_is_human
from tests.hcp.tokens.test_phrases import parsed


def test_together_a_man_and_a_dog_are_a_doer_who_is_human() -> None:
    found = parsed(("subject", "a man"), ("conj", "a dog"))
    assert nearest_is_human(found, lx.readings("running"))
    assert not nearest_is_human(parsed(("subject", "a man"), ("with", "a dog")), 0)


def test_a_verb_belongs_past_clothes_to_its_bearer() -> None:
    found = parsed(("subject", "a man"), ("in", "a shirt"))
    assert nearest_is_human(found, lx.readings("smiling"))
    assert subject_is_human(found, lx.readings("smiles"), adjacent=False)
    assert not subject_is_human(parsed(), lx.readings("smiles"), adjacent=False)
