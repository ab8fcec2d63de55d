"""What a process does: jobs one after the other, with the models that they share loaded once."""

import logging
import os
import time
from collections.abc import Sequence
from functools import cache, lru_cache
from itertools import islice
from pathlib import Path
from threading import Thread
from typing import Any

import diffusers
import numpy as np
import torch
import transformers
from numpy.typing import NDArray

from benchmarks.evidence.data import photos_of
from benchmarks.evidence.drawing import drawn, posed_draw, through_vae, with_adapter
from benchmarks.evidence.job import Bench, Job, PromptChoice
from benchmarks.evidence.judging import (
    Judges,
    judge_attention,
    judge_drift,
    judge_people,
    write_judged,
)
from benchmarks.evidence.prompts import (
    REPORTED_FIRST_SEED,
    TUNING_FIRST_SEED,
    PromptSet,
    drawn_prompts,
    file_prompts,
    held_out_prompts,
)
from benchmarks.evidence.training import losses, trained
from flows.evaluation_inputs import pose_book
from flows.features import feature_space
from hcp.base import BasePipeline, load_base, native_size_px, sampling_dtype
from hcp.evaluation.bodies import load_bodies
from hcp.evaluation.fidelity.space import FeatureSpace
from hcp.evaluation.poses import actions_of
from hcp.training.methods import load_trained
from priors.models import load_pose
from storage.records import Sample
from storage.versions import DatasetVersion, open_version, split_dataset

logger = logging.getLogger(__name__)
Image8 = NDArray[np.uint8]
_LOOK_EVERY_S = 2.0
CEILINGS = ("drawn", "vae")


def start(threads: int | None) -> None:
    """Of a process; one of a pool has so many threads, and ends with the one that made it."""
    logging.basicConfig(level=logging.WARNING)
    for library in (diffusers.utils.logging, transformers.utils.logging):
        library.disable_progress_bar()
        library.set_verbosity_error()
    if threads is not None:
        torch.set_num_threads(threads)
        Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()


def _end_with(parent: int) -> None:
    # Killed, it leaves its processes behind, which would train beside those of the next call.
    while os.getppid() == parent:
        time.sleep(_LOOK_EVERY_S)
    os._exit(1)


def run_job(job: Job) -> Path:
    """Do what is missing of a job; where its figures lie.

    Raises:
        HcpError: it cannot be trained, or a model not be loaded.
    """
    prompts = find_prompts(job.bench, job.bench.prompts)
    place = job.judged(prompts.digest)
    if place.is_file() and not job.bench.rejudge:
        return place
    began = time.monotonic()
    checkpoint = job.checkpoint if job.kind == "given" else None
    if job.config is not None:
        checkpoint = trained(job)
    trained_s, began = time.monotonic() - began, time.monotonic()
    facts, features = _judged(job, prompts, checkpoint)
    facts |= {"arm": job.arm, "seed": job.seed, "trained_s": round(trained_s, 1),
              "judged_s": round(time.monotonic() - began, 1)}  # fmt: skip
    if job.config is not None:
        facts |= {"learning_rate": job.config.learning_rate, "losses": losses(job)}
    write_judged(place, facts, prompts, features)
    return place


def judge_ceiling(bench: Bench, which: str) -> Path | None:
    """The figures of true pictures of the prompts: as they are, or through the base's VAE."""
    prompts = find_prompts(bench, bench.prompts)
    place = Job(arm=which, bench=bench, kind="base").judged(prompts.digest)
    place = place.with_name(f"{which}-{place.name}")
    if not prompts.drawn:
        return None
    if not place.is_file() or bench.rejudge:
        images = [each.image for each in prompts.people if each.image is not None]
        if which == "vae":
            images = through_vae(base_of(bench), images)
        facts = {"arm": which, "seed": 0, "people": _people(bench, prompts, images)}
        write_judged(place, facts, prompts, _features(bench, images))
    return place


def find_prompts(bench: Bench, choice: PromptChoice) -> PromptSet:
    """The prompts; the same in each process.

    Raises:
        ValueError, HcpError: there are none.
    """
    return _prompts(bench.base, bench.reference, bench.device, choice)


@lru_cache(maxsize=2)
def _prompts(base: str, reference: str, device: str, choice: PromptChoice) -> PromptSet:
    counts, tuning = (choice.n_people, choice.n_others), choice.purpose == "tuning"
    if choice.file is not None:
        return file_prompts(choice.file, *counts, tuning=tuning)
    side = native_size_px(_base(base, device))
    if choice.drawn_world:
        first = TUNING_FIRST_SEED if tuning else REPORTED_FIRST_SEED
        return drawn_prompts(first, *counts, size_px=side)
    return held_out_prompts(_version(reference), *counts, size_px=side, tuning=tuning)


def base_of(bench: Bench) -> BasePipeline:
    """The base, ready to draw."""
    return _base(bench.base, bench.device)


@cache
def _base(base: str, device: str) -> BasePipeline:
    return load_base(base, device=device, dtype=sampling_dtype("auto", device))


@cache
def _version(dataset: str) -> DatasetVersion:
    return open_version(*split_dataset(dataset))


@cache
def _judges(bench: Bench) -> tuple[Judges, FeatureSpace | str]:
    detector: Any = load_pose(bench.judge, device=bench.device)
    book = pose_book(_version(bench.reference))
    assert book is not None
    bodies = None if bench.bodies is None else load_bodies(bench.bodies, device=bench.device)
    judges = Judges(detector=detector, poses=book, bodies=bodies)
    return judges, feature_space(bench.features, device=bench.device)


def _judged(
    job: Job, prompts: PromptSet, checkpoint: str | None
) -> tuple[dict[str, Any], NDArray[np.floating] | None]:
    bench, pipeline = job.bench, base_of(job.bench)
    base_job = Job(arm="base", bench=bench, kind="base")
    folder = job.pictures(prompts.digest)
    adapter = None
    if job.kind == "controlnet":
        assert checkpoint is not None
        draw = posed_draw(pipeline, checkpoint, bench.drawing)
        images = drawn(prompts.all, folder, draw, batch_size=bench.drawing.batch_size)
    else:
        adapter = None if checkpoint is None else load_trained(checkpoint)
        images = with_adapter(pipeline, adapter, prompts.all, folder, bench.drawing)
    # Drawn before all others: it is read here.
    base = with_adapter(
        pipeline, None, prompts.all, base_job.pictures(prompts.digest), bench.drawing
    )
    n = len(prompts.people)
    parameters = job.parameters
    if adapter is not None and not parameters:
        parameters = sum(adapter.parameter_count().values())
    facts = {
        "people": _people(bench, prompts, images[:n]),
        "others": judge_drift(images[n:], base[n:]),
        "photos": {},
        "parameters": parameters,
    }
    if job.kind != "controlnet":  # its attention is its base's, which is given the pose as well
        facts["photos"] = judge_attention(pipeline, adapter, _held_out(bench))
    return facts, _features(bench, images[:n])


def _held_out(bench: Bench) -> list[Sample]:
    # No photo of the drawn reference is in the people set; of a data set the val split is not.
    split = None if bench.prompts.drawn_world else "val"
    samples = _version(bench.reference).iter_samples(split)
    return list(islice((s for s in samples if s.human_spans), bench.attention_photos))


def _people(bench: Bench, prompts: PromptSet, images: Sequence[Image8]) -> dict[str, Any]:
    judges, _ = _judges(bench)
    return judge_people(images, prompts.people, judges)


def _features(bench: Bench, images: Sequence[Image8]) -> NDArray[np.floating] | None:
    _, space = _judges(bench)
    return None if isinstance(space, str) else space.embed(images)


def photo_features(bench: Bench) -> NDArray[np.floating] | None:
    """Of the people set's photos, that distances are measured to."""
    _, space = _judges(bench)
    if isinstance(space, str):
        return None
    side = native_size_px(base_of(bench))
    return space.embed(photos_of(_version(bench.reference), bench.reference_photos, size_px=side))


def not_measured(bench: Bench) -> dict[str, str]:
    """Measures without a figure, and why."""
    found: dict[str, str] = {}
    judges, space = _judges(bench)
    if isinstance(space, str):
        found["kid_x1000"] = space
    prompts = find_prompts(bench, bench.prompts)
    if not any(judges.poses.telling(actions_of(each.prompt)) for each in prompts.people):
        found["pose_as_asked"] = "no prompt names an action that the reference's poses tell"
    if not prompts.drawn:
        found["drawn, vae"] = "there are no true pictures of these prompts"
    if not _held_out(bench):
        found["attention"] = "the data set has no held-out photo with human words"
    return found
