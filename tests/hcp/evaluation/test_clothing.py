"""Clothes in the colour asked, on drawn people whose clothes are known."""

from dataclasses import replace

import numpy as np
import pytest

from demo.world.looks import CLOTHES
from demo.world.scenes import DrawnPerson, Scene, render_scene
from hcp.evaluation.clothing import (
    by_palette,
    by_text,
    clothing_share,
    colour_measure,
    region_mask,
    text_measure,
)
from hcp.evaluation.colour import ClothingConfig
from hcp.evaluation.comparison import Pictures, compare
from hcp.evaluation.results import EvaluationConfig, EvaluationReport
from hcp.tokens.clothing import Garment, Region, asked_clothes
from storage.records import Person

WORLD = ClothingConfig(palette=CLOTHES)
TELLS = by_palette(WORLD)


def detected(person: DrawnPerson, *, score: float = 0.9) -> Person:
    """The drawn person as a pose model would find them at best."""
    confidence = {2: 0.9, 1: 0.2, 0: 0.0}
    points = tuple((x, y, confidence[v]) for x, y, v in person.keypoints)
    return Person(bbox_xyxy_px=person.bbox_xyxy_px, score=score, keypoints=points, passes_gate=True)


def garments(person: DrawnPerson) -> list[Garment]:
    look = person.look
    if look.bottom == "dress":
        return [Garment("dress", look.top, "torso")]
    region: Region = "legs" if look.bottom == "trousers" else "thighs"
    return [Garment("shirt", look.top, "torso"), Garment(look.bottom, look.bottom_color, region)]


def test_clothes_of_drawn_people_are_told_right() -> None:
    right: list[bool] = []
    for seed in range(40):
        scene = render_scene(seed, size_px=128, people=1)
        told = [TELLS(scene.image, detected(p), g) for p in scene.people for g in garments(p)]
        right += [answer for answer in told if answer is not None]
    assert len(right) > 60
    assert np.mean(right) >= 0.95


def scene_of(seed: int, *, people: int = 1) -> Scene:
    return render_scene(seed, size_px=128, people=people)


RED, RED_AND_BLUE = 28, 62  # seeds of scenes with such shirts


def worn(caption: str) -> tuple[float | None, float | None]:
    scene = scene_of(RED)
    share = clothing_share(
        scene.image, [detected(p) for p in scene.people], asked_clothes(caption), TELLS
    )
    return share.asked, share.seen


def test_a_wrong_colour_a_missing_person_and_nothing_asked() -> None:
    assert worn("a man in a red shirt") == (1.0, 1.0)
    assert worn("a man in a blue shirt") == (0.0, 0.0)
    assert worn("two men in red shirts") == (0.5, 1.0)  # one is not there
    assert worn("a man in a shirt") == (None, None)
    empty = clothing_share(np.zeros((8, 8, 3), np.uint8), [], asked_clothes("a man in red"), TELLS)
    assert (empty.asked, empty.seen) == (0.0, None)


def test_who_is_who_is_chosen_as_suits_the_picture_best() -> None:
    scene = scene_of(RED_AND_BLUE, people=2)
    people = [detected(p) for p in scene.people]
    for caption in ("a man in a red shirt and a girl in a blue shirt",
                    "a man in a blue shirt and a girl in a red shirt"):  # fmt: skip
        assert clothing_share(scene.image, people, asked_clothes(caption), TELLS).asked == 1.0
    both = asked_clothes("two men in red shirts")
    assert clothing_share(scene.image, people, both, TELLS).asked == 0.5


def test_no_region_where_joints_are_not_seen() -> None:
    person = detected(render_scene(3, size_px=64, people=1).people[0])
    hidden = replace(person, keypoints=tuple((x, y, 0.1) for x, y, _ in person.keypoints))
    for region in ("torso", "legs", "thighs"):
        assert region_mask((64, 64), person, region).any()
        assert not region_mask((64, 64), hidden, region).any()


PROMPTS = ("a man in a red shirt", "a red car")


def report_of(image: np.ndarray, person: Person) -> tuple[EvaluationReport, Pictures]:
    wrong = image[..., ::-1].copy()  # red and blue change places
    pictures = Pictures(
        prompts=PROMPTS, seeds=(0, 0), images={"base": [wrong, image], "candidate": [image, image]},
        people={"base": [[person], []], "candidate": [[person], []]},
    )  # fmt: skip
    config = EvaluationConfig(prompts=PROMPTS, seeds=(0,), n_resamples=20, clothing=WORLD)
    return compare(pictures, {}, config=config), pictures


@pytest.fixture
def red() -> tuple[np.ndarray, Person]:
    scene = scene_of(RED)
    return scene.image, detected(scene.people[0])


def test_the_planted_wrong_colour_is_in_the_report(red: tuple[np.ndarray, Person]) -> None:
    report, pictures = report_of(*red)
    report = colour_measure(WORLD)(report, pictures)
    for name in ("clothing_colour", "clothing_colour_seen"):
        assert report.arms["base"].more[name] == 0.0
        assert report.arms["candidate"].more[name] == 1.0
        assert report.comparisons["base"].more[name].mean == 1.0
    assert "approximation" not in report.cards[0].note
    small = ClothingConfig(palette={"green": (0, 99, 0), "black": (0, 0, 0)})
    report = colour_measure(small)(report_of(*red)[0], pictures)
    assert "one of these colours: green, black" in report.not_measured["clothing_colour"]


def test_a_text_score_of_the_region_tells_colours_too(red: tuple[np.ndarray, Person]) -> None:
    def scorer(images: list[np.ndarray], texts: list[str]) -> list[float]:  # knows colours by name
        means = [image.reshape(-1, 3).mean(axis=0) for image in images]
        colours = [np.array(CLOTHES[text.split()[3]]) for text in texts]
        return [-float(np.linalg.norm(m - c)) for m, c in zip(means, colours, strict=True)]

    image, person = red
    tells = by_text(scorer, WORLD)  # pyright: ignore[reportArgumentType]
    assert tells(image, person, Garment("shirt", "red", "torso"))
    assert not tells(image, person, Garment("shirt", "blue", "torso"))
    report, pictures = report_of(image, person)
    report = text_measure(scorer, WORLD)(report, pictures)  # pyright: ignore[reportArgumentType]
    assert report.arms["candidate"].more["clothing_text"] == 1.0


@pytest.mark.parametrize(
    ("palette", "said"),
    [
        ({"red": (1, 2, 3), "grene": (0, 99, 0)}, "no caption can ask for"),
        ({"red": (1, 2, 3)}, "needs two colours"),
        ({"red": (1, 2, 3), "blue": (0, 0, 256)}, "sRGB in 0 to 255"),
    ],
)
def test_palettes_that_cannot_be_used_are_refused(
    palette: dict[str, tuple[int, int, int]], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        ClothingConfig(palette=palette)
