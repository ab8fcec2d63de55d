"""The distances in a report: figures, intervals, what the page shows, and why there are none."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hcp.evaluation.comparison import Pictures
from hcp.evaluation.fidelity.distances import cmmd, fid, kid
from hcp.evaluation.fidelity.measure import fidelity
from hcp.evaluation.fidelity.photos import reference_photos
from hcp.evaluation.fidelity.space import FeatureSpace
from hcp.evaluation.results import EvaluationConfig, EvaluationReport
from hcp.pages.figures import decode_image
from hcp.pages.measures import differences, measure_rows, missing_rows
from storage.records import Person
from storage.versions import DatasetVersion
from tests.hcp.evaluation.reports import arm, report_of
from tests.hcp.samples import make_person, make_sample

PROMPTS = (*(f"a man running, take {i}" for i in range(9)), "a red car")
Publish = Callable[..., DatasetVersion]
Image8 = NDArray[np.uint8]


class Colours(nn.Module):
    """Mean colour and contrast: a real, small feature space."""

    def forward(self, images: Tensor) -> Tensor:
        flat = images.float().flatten(2) / 255
        return torch.cat([flat.mean(dim=2), flat.std(dim=2)], dim=1)


SPACE = FeatureSpace(Colours(), "mean colours")


def detector(images: Sequence[Image8]) -> list[list[Person]]:
    return [[make_person((2, 2, 30, 90))] for _ in images]  # a face of 5.4 px


def drawn(*, seeds: int = 2, **shifts: int) -> Pictures:
    """Pictures like the photos in each arm, made brighter by the arm's shift."""
    n = len(PROMPTS) * seeds
    photos = [decode_image(make_sample(1000 + i, size_px=(48, 32)))[:, 8:40] for i in range(n)]
    images = {
        name: [(photo.astype(int) + shift).clip(0, 255).astype(np.uint8) for photo in photos]
        for name, shift in shifts.items()
    }
    return Pictures(
        prompts=tuple(p for p in PROMPTS for _ in range(seeds)),
        seeds=tuple(range(seeds)) * len(PROMPTS),
        images=images,
        people={name: detector(each) for name, each in images.items()},
    )


def report(pictures: Pictures, *, min_face_px: int = 5) -> EvaluationReport:
    config = EvaluationConfig(
        prompts=PROMPTS, n_resamples=200, max_references=40, min_face_px=min_face_px
    )
    made = report_of(**{name: arm(0.5) for name in pictures.images})
    return replace(made, config=config, not_measured={})


def test_the_figures_are_those_of_the_pictures_with_human_words(publish: Publish) -> None:
    version = publish(val=12, train=40)
    pictures = drawn(base=90, candidate=5)
    found = fidelity(SPACE, version, detector)(report(pictures), pictures)
    photos = reference_photos(version, limit=40, height_px=32, width_px=32)
    real = SPACE.embed(photos.images)
    for name, own in found.arms.items():
        features = SPACE.embed(pictures.images[name][:18])  # the last two show a car
        assert own.more["kid"] == pytest.approx(kid(features, real), abs=1e-9)
        assert own.more["fid"] == pytest.approx(fid(features, real), abs=1e-9)
        assert own.more["cmmd"] == pytest.approx(cmmd(features, real), abs=1e-9)
        assert (own.kid, own.fid) == (own.more["kid"], own.more["fid"])
        assert found.metrics()[f"{name}.kid"] == own.more["kid"]
    against = found.comparisons["base"].more
    assert against["kid"].high < 0
    assert against["kid"].n == 9
    assert against["kid_change"].high < 0
    base, ours = found.arms["base"].more, found.arms["candidate"].more
    assert ours["kid_change"] == pytest.approx(ours["kid"] / base["kid"] - 1)
    assert against["kid_change"].mean == pytest.approx(ours["kid_change"])
    assert "18 pictures of each model" in found.notes[0]
    assert "12 held-out photos and 28 of the training" in found.notes[0]
    assert found.not_measured == {}


def test_faces_have_a_distance_and_a_confidence(publish: Publish) -> None:
    pictures = drawn(base=90, candidate=5)
    found = fidelity(SPACE, publish(val=20), detector)(report(pictures), pictures)
    assert found.arms["candidate"].more["faces_kid"] < found.arms["base"].more["faces_kid"]
    assert found.comparisons["base"].more["faces_kid"].high < 0
    assert found.comparisons["base"].more["faces_kid"].n == 9  # the tenth asks for nobody
    assert found.arms["base"].more["face_confidence"] == pytest.approx(0.9)
    assert "base 18 (and 0 smaller)" in found.notes[1]
    card = next(card for card in found.cards if card.name == "face_confidence")
    assert card.photos == pytest.approx(0.9)


def test_a_page_shows_kid_times_a_thousand_and_what_photos_have(publish: Publish) -> None:
    pictures = drawn(base=90, candidate=5)
    found = fidelity(SPACE, publish(val=20), detector)(report(pictures), pictures)
    rows = {row.title: row for row in measure_rows(found)}
    base = found.arms["base"].more["kid"]
    assert rows["KID × 1,000"].values[0] == f"{1000 * base:.3f}"  # noqa: RUF001
    assert rows["KID × 1,000"].best == (False, True)  # noqa: RUF001
    assert "mean colours" in rows["CMMD"].note
    assert "compare no other" in rows["CMMD"].note
    assert "real photos 0.900" in rows["Faces: detector's confidence"].note
    shown = {each.title: each.interval for each in differences(found)}
    interval = shown["HcP against Base: KID × 1,000"]  # noqa: RUF001
    assert interval.mean == pytest.approx(1000 * found.comparisons["base"].more["kid"].mean)


def reasons(found: EvaluationReport) -> dict[str, str]:
    assert {title for title, _ in missing_rows(found)} >= {"FID", "CMMD"}
    return {name: found.not_measured[name] for name in ("kid", "kid_change", "fid", "cmmd")}


def test_without_network_dataset_or_enough_pictures_it_says_why(publish: Publish) -> None:
    pictures = drawn(base=90, candidate=5)
    made = report(pictures)
    no_network = fidelity("no weights here", publish(val=20), detector)(made, pictures)
    assert set(reasons(no_network).values()) == {"no weights here"}
    assert "face_confidence" in no_network.arms["base"].more
    no_dataset = fidelity(SPACE, None, detector)(made, pictures)
    assert "evaluate.dataset" in reasons(no_dataset)["kid"]
    few = fidelity(SPACE, publish(val=2, train=3), detector)(made, pictures)
    assert reasons(few)["fid"] == "5 photos and 18 pictures, 16 of each are needed"
    pictures = drawn(base=90, candidate=5, seeds=1)
    few = fidelity(SPACE, publish(val=20), detector)(report(pictures), pictures)
    assert reasons(few)["cmmd"] == "20 photos and 9 pictures, 16 of each are needed"


def test_too_small_faces_leave_the_pictures_own_distances(publish: Publish) -> None:
    pictures = drawn(base=90, candidate=5)
    found = fidelity(SPACE, publish(val=20), detector)(report(pictures, min_face_px=40), pictures)
    assert "kid" in found.arms["base"].more
    why = found.not_measured["faces_kid"]
    assert why.startswith("0 of the photos, 0 of base, 0 of candidate faces of 40 px or more")
    assert found.not_measured["face_confidence"].endswith("below 40 px")


def test_an_arm_without_faces_has_a_dash_and_a_reason(publish: Publish) -> None:
    pictures = drawn(base=90, candidate=5)
    nobody = {**pictures.people, "base": [[] for _ in pictures.prompts]}
    pictures = replace(pictures, people=nobody)
    found = fidelity(SPACE, publish(val=20), detector)(report(pictures), pictures)
    assert "faces_kid" in found.arms["candidate"].more
    assert "faces_kid" not in found.arms["base"].more
    assert found.not_measured["faces_kid"] == "0 of base: 16 faces are needed"
    assert "faces_kid" not in found.comparisons["base"].more


def test_a_base_at_no_distance_has_no_relative_change(publish: Publish) -> None:
    version = publish(val=20)
    photos = reference_photos(version, limit=20, height_px=32, width_px=32)
    pictures = drawn(base=0, candidate=5)
    pictures = replace(
        pictures, images={**pictures.images, "base": [*photos.images[:10], *photos.images[:10]]}
    )
    found = fidelity(SPACE, version, detector)(report(pictures), pictures)
    assert "not clearly above 0" in found.not_measured["kid_change"]
    assert "kid" in found.arms["candidate"].more
