"""The built-in evaluation prompts ask for what their names say."""

from hcp.evaluation.promotion import PromotionConfig
from hcp.evaluation.prompts import DEFAULT_PROMPTS, PERSON_PROMPTS, SCENE_PROMPTS
from hcp.tokens import human_spans
from hcp.tokens.counting import expected_people


def test_every_person_prompt_asks_for_people_and_an_action_or_look() -> None:
    for prompt in PERSON_PROMPTS:
        spans = human_spans(prompt)
        assert any(span.kind == "person" for span in spans), prompt
        assert expected_people(prompt), prompt
    counts = {expected_people(p) for p in PERSON_PROMPTS}
    assert counts >= {1, 2, 3}


def test_no_scene_prompt_has_a_human_word() -> None:
    assert [prompt for prompt in SCENE_PROMPTS if human_spans(prompt)] == []


def test_there_are_enough_for_the_gate_and_none_twice() -> None:
    assert len(PERSON_PROMPTS) >= PromotionConfig().min_prompts
    assert len(set(DEFAULT_PROMPTS)) == len(DEFAULT_PROMPTS)
    assert set(DEFAULT_PROMPTS) == {*PERSON_PROMPTS, *SCENE_PROMPTS}
