"""Pairs of drawn pictures, intact and corrupted, and what every measure says of each picture."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from demo.world.faults import FAULTS, render_faulty
from demo.world.scenes import render_scene
from hcp.evaluation.bodies import BodyJudge
from hcp.evaluation.opinions import opinions_of
from hcp.evaluation.people import counted_people, measure_people
from hcp.evaluation.poses import PoseBook, pose_as_asked, pose_distance
from priors.gate import GateConfig, check_people
from storage.records import Person

Image8 = NDArray[np.uint8]
Detector = Callable[[Sequence[Image8]], list[list[Person]]]
KINDS_APART = 20_000
"""Seeds from one kind's first scene to the next one's: no two kinds share a scene."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One scene drawn twice."""

    kind: str
    prompt: str
    intact: Image8
    corrupted: Image8


def draw_pairs(count: int, *, first_seed: int, size_px: int) -> list[Pair]:
    """``count`` pairs of each kind of fault.

    A person cut at the hips has no leg to miss and is not asked to; a fault that changes no pixel
    is none.
    """
    pairs: list[Pair] = []
    for number, kind in enumerate(FAULTS):
        found, seed = 0, first_seed + number * KINDS_APART
        while found < count:
            scene = render_scene(seed, size_px=size_px, people=1)
            faulty = render_faulty(seed, kind, size_px=size_px)
            seed += 1
            legless = kind == "missing_leg" and scene.attributes["pose"] == "smiling"
            if legless or np.array_equal(scene.image, faulty.image):
                continue
            pairs.append(
                Pair(kind=kind, prompt=scene.caption, intact=scene.image, corrupted=faulty.image)
            )
            found += 1
    return pairs


def drawn_pose_book(detector: Detector, *, count: int, first_seed: int) -> PoseBook:
    """The people of ``count`` drawn photos as a rebuild would find them."""
    scenes = [render_scene(first_seed + i, size_px=256) for i in range(count)]
    found = detector([scene.image for scene in scenes])
    kept = [
        check_people(people, width_px=256, height_px=256, config=GateConfig()) for people in found
    ]
    return PoseBook.of(
        (scene.caption, people)
        for scene, people in zip(scenes, kept, strict=True)
        if isinstance(people, tuple)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Judges:
    """Whoever is asked about a picture."""

    detector: Detector
    bodies: BodyJudge
    poses: PoseBook

    def measures(
        self, images: Sequence[Image8], prompts: Sequence[str]
    ) -> list[Mapping[str, float | None]]:
        """Of each picture of one person: a number for each measure, None where it has none.

        All are turned so that the larger number is the better picture.
        """
        people = self.detector(images)
        sound = self.bodies(images, people)
        return [self._one(*each) for each in zip(people, sound, prompts, strict=True)]

    def _one(
        self, people: Sequence[Person], sound: Sequence[float], prompt: str
    ) -> Mapping[str, float | None]:
        asked = opinions_of(people, prompt, soundness=sound, poses=self.poses)
        whole = measure_people(people, n_expected=1, opinions=asked)
        plain = measure_people(people, n_expected=1)
        counted = counted_people(people)
        best = max(
            (pair for pair in zip(people, sound, strict=True) if pair[0] in counted),
            key=lambda pair: pair[0].score, default=None,
        )  # fmt: skip
        distances = [self.poses.distances(person) for person in counted]
        nearest = pose_distance(distances)
        return {
            "people_score": whole.people_score,
            "before": plain.people_score,
            "soundness": None if best is None else best[1],
            "pose_as_asked": pose_as_asked(distances, prompt, n_expected=1, book=self.poses),
            "pose_distance": None if nearest is None else -nearest,
            "keypoint_confidence": plain.keypoint_confidence,
            "implausible_limbs": (
                None if plain.implausible_limbs is None else -plain.implausible_limbs
            ),
        }
