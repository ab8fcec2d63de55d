"""How many people a prompt asks for."""

import pytest

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
        ("a couple of little girls sitting", 2),
        ("a group of three men in a field", 3),
        ("a group of skiers", None),
        ("two couples under umbrellas", 4),
        ("two soccer teams", None),
        ("a pair of military personnel", 2),
        ("two bikini clad women riding horses", 2),
        ("four children and one of the children is holding a ball", None),
        ("a man with two hot dogs and a girl's hand", 2),
        ("a laptop, an mp3 player and a man", 2),
        ("three images show the man", 1),
        ("2girls walking", 2),
        ("eleven girls in tennis outfits", 11),
        ("the gentlemen are flying a kite", None),
        ("someone is dancing", None),
    ],
)
def test_people_that_a_prompt_asks_for(prompt: str, expected: int | None) -> None:
    assert expected_people(prompt) == expected
