"""The gate: captions, people, and the order of reasons."""

from dataclasses import replace

import pytest

from priors.gate import GateConfig, Refusal, check_caption, check_people, clean_caption
from storage.records import Person

CONFIG = GateConfig()


def person(
    *, side_px: float = 100, score: float = 0.9, n_keypoints: int = 17, confidence: float = 0.9
) -> Person:
    sure = [(10.0, 10.0, confidence)] * n_keypoints
    unsure = [(10.0, 10.0, 0.05)] * (17 - n_keypoints)
    return Person(
        bbox_xyxy_px=(0.0, 0.0, side_px, side_px), score=score, keypoints=tuple(sure + unsure)
    )


def gate(*people: Person) -> tuple[Person, ...] | Refusal:
    return check_people(people, width_px=500, height_px=400, config=CONFIG)


def reason(*people: Person) -> str | None:
    outcome = gate(*people)
    return outcome.reason if isinstance(outcome, Refusal) else None


def test_defaults_are_the_designs() -> None:
    assert (CONFIG.min_side_px, CONFIG.max_pixels, CONFIG.max_aspect) == (256, 64_000_000, 4)
    assert (CONFIG.max_caption_chars, CONFIG.max_people) == (10_000, 8)
    assert (CONFIG.min_score, CONFIG.min_area_fraction) == (0.35, 0.02)
    assert (CONFIG.min_keypoints, CONFIG.min_keypoint_confidence) == (6, 0.3)


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("a  dog\n and\ta\r\nman ", "a dog and a man"),
        ("cafe\u0301", "caf\u00e9"),
        ("bell\x07 and \x00null", "bell and null"),
        ("\ufeffwith a mark", "with a mark"),
        ("line\u2028separator", "line separator"),
        ("half \ud83d pair", "half pair"),
        ("family \U0001f468\u200d\U0001f469", "family \U0001f468\u200d\U0001f469"),
    ],
)
def test_captions_are_cleaned(raw: str, cleaned: str) -> None:
    assert clean_caption(raw) == cleaned
    assert clean_caption(cleaned) == cleaned
    assert check_caption(raw, config=CONFIG) == cleaned


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (None, "no_caption"),
        ("", "no_caption"),
        (" \n\t", "no_caption"),
        ("\x00\x01", "bad_caption"),
        ("x" * 10_001, "bad_caption"),
    ],
)
def test_captions_are_refused(raw: str | None, expected: str) -> None:
    outcome = check_caption(raw, config=CONFIG)
    assert isinstance(outcome, Refusal)
    assert outcome.reason == expected


def test_the_length_of_a_caption_is_taken_after_the_clean_up() -> None:
    assert check_caption("x" * 10_000 + "\n" * 50, config=CONFIG) == "x" * 10_000
    assert check_caption("x", config=CONFIG) == "x"


@pytest.mark.parametrize(
    ("raw", "gate", "detail"),
    [
        ("a man", {"min_caption_chars": 6}, "5 characters, needs 6"),
        ("running", {"min_caption_words": 2}, "1 words, needs 2"),
        ("IMG_2034", {"min_letter_fraction": 0.5}, "0.38 of it are letters"),
        ("\U0001f600 \U0001f600", {"min_letter_fraction": 0.5}, "0.00 of it are letters"),
        ("\ufffd\ufffd\ufffd man", {"min_letter_fraction": 0.6}, "0.50 of it are letters"),
        ("мужчина бежит", {"caption_scripts": ("LATIN",)}, "0.00 of its letters are LATIN"),
        ("a 男人在跑步", {"caption_scripts": ("LATIN", "ARABIC")}, "LATIN or ARABIC"),
    ],
)
def test_gates_for_length_and_language(raw: str, gate: dict[str, object], detail: str) -> None:
    outcome = check_caption(raw, config=replace(CONFIG, **gate))
    assert isinstance(outcome, Refusal)
    assert outcome.reason == "bad_caption"
    assert detail in outcome.detail
    assert check_caption(raw, config=CONFIG) == raw


@pytest.mark.parametrize("raw", ["a man runs", "Café à Zürich, 2 people", "2024"])
def test_captions_of_the_asked_script_pass(raw: str) -> None:
    assert check_caption(raw, config=replace(CONFIG, caption_scripts=("LATIN",))) == raw


def test_each_reason() -> None:
    assert reason() == "no_person"
    assert reason(person(side_px=63.2)) == "person_too_small"  # 0.01997 of the photo
    assert reason(person(side_px=63.3)) is None
    assert reason(*[person()] * 9) == "too_many_people"
    assert reason(*[person()] * 8) is None
    assert reason(person(n_keypoints=5)) == "too_few_keypoints"
    assert reason(person(n_keypoints=6)) is None
    assert reason(person(confidence=0.29)) == "too_few_keypoints"
    assert reason(person(score=0.34)) == "low_pose_confidence"
    assert reason(person(score=0.35, confidence=0.3)) is None


def test_the_first_rule_that_nobody_is_left_for_gives_the_reason() -> None:
    small_and_unsure = person(side_px=10, score=0.3, n_keypoints=0)
    assert reason(small_and_unsure) == "person_too_small"
    assert reason(person(n_keypoints=2, score=0.3)) == "too_few_keypoints"
    assert reason(*[person(n_keypoints=2)] * 9) == "too_many_people"
    assert reason(*[person(side_px=10)] * 9) == "person_too_small"
    # each rule is met by somebody, no one meets them all
    assert reason(person(n_keypoints=2), person(side_px=10)) == "too_few_keypoints"


def test_everybody_is_listed_and_only_the_fit_are_marked() -> None:
    people = (person(), person(score=0.3), person(side_px=10), person(n_keypoints=5), person())
    outcome = gate(*people)
    assert isinstance(outcome, tuple)
    assert [p.passes_gate for p in outcome] == [True, False, False, False, True]
    assert [replace(p, passes_gate=False) for p in outcome] == list(people)
    assert not any(p.passes_gate for p in people)


@pytest.mark.parametrize(
    "wrong",
    [
        {"min_score": 1.5},
        {"min_area_fraction": -0.1},
        {"min_keypoints": 18},
        {"max_people": 0},
        {"max_people": 300},
        {"min_side_px": 0},
        {"min_caption_chars": 20_000},
        {"min_caption_words": -1},
        {"min_letter_fraction": 2},
        {"caption_scripts": ("latin",)},
    ],
)
def test_nonsense_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="GateConfig"):
        GateConfig(**wrong)  # pyright: ignore[reportArgumentType]  # field names vary
