"""From a job's pictures to its figures, each of every picture: what the table's intervals need."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.evidence.prompts import Asked, PromptSet
from hcp.base import BasePipeline
from hcp.evaluation.bodies import BodyJudge
from hcp.evaluation.comparison import Pictures, people_measures, pixel_difference
from hcp.evaluation.mechanism import attention_share, probe_photos
from hcp.evaluation.people import counted_people
from hcp.evaluation.poses import PoseBook, pose_as_asked, pose_distance
from hcp.evaluation.results import BASE
from hcp.evaluation.run import PeopleDetector
from hcp.evaluation.soundness import judged
from hcp.tokens.counting import expected_people
from hcp.training.methods import Trained
from storage.locations import write_atomic
from storage.records import Sample

Image8 = NDArray[np.uint8]
Values = list[float | None]
"""One for each picture; None where nothing could be measured."""

NOISE_LEVELS = (0.2, 0.5, 0.8)  # of the photos on which attention is measured
FEATURES_SUFFIX = ".features.npy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judges:
    """Who looks at people."""

    detector: PeopleDetector
    poses: PoseBook  # of people whose captions say what they do
    bodies: BodyJudge | None  # None: the people score goes without soundness


def judge_people(
    images: Sequence[Image8], asked: Sequence[Asked], judges: Judges
) -> dict[str, Values]:
    """Of each picture with people: what the judges see of them."""
    found, book = judges.detector(images), judges.poses
    prompts = tuple(each.prompt for each in asked)
    pictures = Pictures(
        prompts=prompts, seeds=tuple(each.seed for each in asked),
        images={BASE: images}, people={BASE: found},
    )  # fmt: skip
    measures = people_measures(judged(pictures, judges.bodies), book)[BASE]
    distances = [[book.distances(person) for person in counted_people(people)] for people in found]
    return {
        "people_score": [_number(m and m.people_score) for m in measures],
        "person_found": [_number(m and m.detected) for m in measures],
        "count_error": [_number(m and m.count_error) for m in measures],
        "pose_as_asked": [
            pose_as_asked(people, prompt, n_expected=expected_people(prompt), book=book)
            for people, prompt in zip(distances, prompts, strict=True)
        ],
        "pose_distance": [pose_distance(people) for people in distances],
    }


def judge_drift(images: Sequence[Image8], base: Sequence[Image8]) -> dict[str, Values]:
    """Of each picture without people: its difference from the base's, in levels of 255."""
    apart = [pixel_difference(ours, theirs) for ours, theirs in zip(images, base, strict=True)]
    return {"drift": list(apart), "identical": [float(each == 0) for each in apart]}


def judge_attention(
    pipeline: BasePipeline, adapter: Trained | None, samples: Sequence[Sample]
) -> dict[str, Values]:
    """Of each held-out photo: the share of its human words' attention inside the person masks.

    Beside a model's own share stands the base's, in the layers that the model's adapter has.
    """
    if not samples:
        return {}
    total = int(pipeline.scheduler.config.num_train_timesteps)
    maps = probe_photos(
        pipeline, samples, adapter=adapter, timesteps=[int(part * total) for part in NOISE_LEVELS]
    )
    share = attention_share(maps)
    if adapter is None:
        return {"attention": list(share.base)}
    return {"attention": list(share.fused), "attention_base": list(share.base)}


def write_judged(
    path: Path, facts: Mapping[str, Any], prompts: PromptSet, features: NDArray[np.floating] | None
) -> None:
    """Write a job's figures, and the features of its pictures with people beside them."""
    place = features_path(path)
    if features is not None:
        place.parent.mkdir(parents=True, exist_ok=True)
        np.save(place, features.astype(np.float32))
    elif place.exists():
        place.unlink()
    told = {"prompts": prompts.source, "prompts_digest": prompts.digest}
    write_atomic(str(path), (json.dumps({**told, **facts}, indent=1) + "\n").encode())


def features_path(judged: Path) -> Path:
    """Where the features beside a job's figures lie."""
    return judged.with_name(judged.stem + FEATURES_SUFFIX)


def _number(value: float | bool | None) -> float | None:
    return None if value is None else float(value)
