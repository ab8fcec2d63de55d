"""Captions of flipped photos: the sides change places, and nothing else does."""

import pytest

from hcp.tokens import human_spans
from hcp.tokens.mirror import mirrored_caption

SWAPPED = [
    ("A man holding a frisbee in his right hand", "A man holding a frisbee in his left hand"),
    ("a woman on the left and a man on the right", "a woman on the right and a man on the left"),
    ("Left-handed batter", "Right-handed batter"),
    ("a left-handed man and a RIGHT-HANDED one", "a right-handed man and a LEFT-HANDED one"),
    ("the leftmost dancer, the rightmost singer", "the rightmost dancer, the leftmost singer"),
    ("the left-most of the three", "the right-most of the three"),
    ("a right-hand drive car", "a left-hand drive car"),
    ("people from left to right: Ann, Bob", "people from right to left: Ann, Bob"),
    ("looking left and right", "looking right and left"),
    ("The woman's left is a dog", "The woman's right is a dog"),
    ("a dog to the left of a man", "a dog to the right of a man"),
    ("a man is left of the tree", "a man is right of the tree"),
    ("in the upper-left corner", "in the upper-right corner"),
    ("bottom right, a child", "bottom left, a child"),
    ("RIGHT HAND raised", "LEFT HAND raised"),
    ("he turns right", "he turns left"),
    ("a cat looking left", "a cat looking right"),
    ("a girl (left) hugs a boy (right)", "a girl (right) hugs a boy (left)"),
    ("Left: a man. Right: a woman", "Right: a man. Left: a woman"),
    ("her left arm is up, right leg bent", "her right arm is up, left leg bent"),
    ("standing rightward of her", "standing leftward of her"),
    ("on the right in a red shirt", "on the left in a red shirt"),
    ("the man on the right next to a car", "the man on the left next to a car"),
    ("the left\u2019s man\u2019s left ear", "the right\u2019s man\u2019s right ear"),
    ("he left his left glove", "he left his right glove"),
    ("right now his right foot is up", "right now his left foot is up"),
]
SAME = [
    "a woman doing yoga",
    "a man is doing this right now",
    "the girl is all right",
    "she left the room",
    "a bike was left on a table",
    "one laptop has been left open",
    "A man is right behind a cow",
    "a pole right next to a wall",
    "staying upright in bright copyright light",
    "people fight for human rights",
    "the right way to go",
    "at the right time",
    "Kitchen appliances have been left unattended",
    "a bag left behind by a man",
    "it is right side up",
    "a number of people",
    "the right of way",
    "the girls' day out with the boys' toys",
    "",
]
NO_FLIP = [
    "a man holding a sign",
    'a shirt that reads "love"',
    "a shirt with the word hello",
    "a clock reads 12:43",
    "a store called 'Court Order'",
    "a bus with an Apple logo",
    "baseball player number 22",
    "numbers on his back",
    "runner #12",
    "a banner “spring in the city”",
    "arrows turn clockwise",
    "a mug reads Best Dad",
    "two men (l) and (r)",
    "from L to R",
    "one slice left",
    "a piece of cake left on a plate",
    "people expressing their right to protest",
    "all that is left of the castle",
    "staring right into the camera",
    "two wrongs make a right",
]


@pytest.mark.parametrize(("caption", "expected"), SWAPPED)
def test_sides_change_places(caption: str, expected: str) -> None:
    assert mirrored_caption(caption) == expected
    assert mirrored_caption(expected) == caption


@pytest.mark.parametrize("caption", SAME)
def test_other_meanings_stay(caption: str) -> None:
    assert mirrored_caption(caption) == caption


@pytest.mark.parametrize("caption", NO_FLIP)
def test_where_a_flip_would_lie_or_is_unclear_there_is_none(caption: str) -> None:
    assert mirrored_caption(caption) is None


def test_the_human_words_follow_the_caption() -> None:
    caption = "on the leftmost chair a woman raises her right hand"
    mirrored = mirrored_caption(caption)
    assert mirrored is not None
    assert [s.text for s in human_spans(mirrored)] == [s.text for s in human_spans(caption)]
    assert [s.start for s in human_spans(mirrored)] != [s.start for s in human_spans(caption)]
