"""How many people a prompt asks for."""

import pytest

from hcp.tokens import human_spans
from hcp.tokens.counting import expected_people


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a woman doing yoga", 1),
        ("two boys playing football", 2),
        ("two young ballet dancers are practicing in a studio", 2),
        ("three people walking down a street", 3),
        ("a man and a woman dancing", 2),
        ("a young woman with two children", 3),
        ("people on a beach", None),
        ("a group of women running", None),
        ("a couple dancing in the rain", 2),
        ("a red car parked near a tree", 0),
        ("two red cars and a woman", 1),
    ],
)
def test_people_that_a_prompt_asks_for(prompt: str, expected: int | None) -> None:
    assert expected_people(prompt, human_spans(prompt)) == expected
