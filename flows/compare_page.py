"""The compare page of two models, from pictures that are drawn here or lie in two folders.

A function for one process, where the GPU is; it knows neither Prefect nor Ray.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.draw_worker import take_any_base
from flows.evaluation_inputs import read_prompts
from flows.names import model_path
from flows.picture_folders import PictureFolders
from flows.pictures import SamplingDtype
from hcp.pages.votes import ComparePage, ComparePageConfig, PicturePair, compare_page
from storage.errors import HcpError
from storage.locations import exists, join, normalised, write_atomic

if TYPE_CHECKING:
    from hcp.training.methods import Trained

BASE = "base"
"""In a checkpoint's place: the base alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareJob:
    """Which two models are compared, on what, and where the page goes."""

    out: Path  # the page, FILE.html; its key becomes FILE.key.json
    a: str | None = None  # folder, registry URI or hub id, or "base"
    b: str | None = None
    base: str | None = None
    prompts: str | None = None  # a file, one prompt a line
    seeds: tuple[int, ...] = (0,)  # of each prompt
    a_pictures: Path | None = None  # instead: folders of pictures with equal names
    b_pictures: Path | None = None
    registry: str | None = None  # MLflow URI, for a registry URI
    any_base: bool = False  # take a base with other weights than the checkpoints' own
    steps: int = 30
    guidance: float = 7.5
    device: str = "auto"
    dtype: SamplingDtype = "auto"
    overwrite: bool = False  # write over an earlier page and its key
    page: ComparePageConfig = field(default_factory=ComparePageConfig)


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """Where a compare page and its key lie."""

    page: str
    key: str
    notes: tuple[str, ...]


def write_compare_page(job: CompareJob) -> Written:
    """Draw or read the pictures, and write the page and its key.

    Raises:
        HcpError: the job asks for what does not go together, a model or a picture cannot be used,
            nothing differs, or an earlier page's key would be lost. What is quick to tell is told
            before a model is loaded.
    """
    _check(job)
    if job.a_pictures is not None and job.b_pictures is not None:
        prompts = read_prompts(job.prompts) if job.prompts else ()
        folders = PictureFolders.of(job.a_pictures, job.b_pictures, prompts=prompts)
        page = compare_page(
            folders.pairs(), a=job.a or str(job.a_pictures), b=job.b or str(job.b_pictures),
            config=job.page,
        )  # fmt: skip
        notes, total = folders.notes(), len(folders.prompts) - len(folders.unreadable)
    else:
        prompts = read_prompts(str(job.prompts))
        page = compare_page(
            drawn_pairs(job, prompts), a=_named(job, job.a), b=_named(job, job.b), config=job.page
        )
        notes, total = [], len(prompts) * len(job.seeds)
    if (over := total - page.n_pairs - page.n_same) > 0:
        notes.append(f"{over} more pairs are not on the page: it takes {job.page.limit} (limit)")
    out = normalised(job.out)
    return save_page(page, out, out.removesuffix(".html") + ".key.json", notes=tuple(notes))


def save_page(
    page: ComparePage, place: str, key_place: str, *, notes: tuple[str, ...] = ()
) -> Written:
    """Write a page and, before it, its key: without one a page is worth nothing."""
    write_atomic(key_place, page.key.to_json().encode())
    write_atomic(place, page.html.encode())
    return Written(page=place, key=key_place, notes=(*page.notes, *notes))


def beside_report(page: ComparePage, directory: str) -> tuple[str, str]:
    """Where an evaluation's page and its key go: other pictures never take an earlier one's."""
    name = f"compare-{page.key.page}"
    return join(directory, f"{name}.html"), join(directory, f"{name}.key.json")


def drawn_pairs(job: CompareJob, prompts: tuple[str, ...]) -> Iterator[PicturePair]:
    """The pictures of both models: all prompts of the first seed, then of the next."""
    from hcp.base import load_base, sampling_dtype
    from hcp.evaluation.generation import generate
    from hcp.training.methods import load_trained
    from priors.device import resolve_device

    device = resolve_device(job.device)
    models: list[Trained | None] = [
        None if name in (None, BASE) else load_trained(name, tracking_uri=job.registry)
        for name in (job.a, job.b)
    ]
    if job.any_base:
        take_any_base(*filter(None, models))
    pipeline = load_base(
        model_path(str(job.base), "base"), device=device, dtype=sampling_dtype(job.dtype, device)
    )
    settings: Any = {"steps": job.steps, "guidance": job.guidance}
    for seed in job.seeds:
        ours, theirs = (
            generate(pipeline, prompts, seeds=[seed] * len(prompts), adapter=model, **settings)
            for model in models
        )
        for prompt, a, b in zip(prompts, ours, theirs, strict=True):
            yield PicturePair(prompt=prompt, name=f"seed {seed}", a=a, b=b)


def _check(job: CompareJob) -> None:
    for wrong, message in _mistakes(job):
        if wrong:
            raise HcpError(message)


def _mistakes(job: CompareJob) -> Iterator[tuple[bool, str]]:
    key = job.out.with_suffix(".key.json")
    yield job.out.suffix.lower() != ".html", f"out: expected a name ending in .html, got {job.out}"
    yield (
        exists(normalised(key)) and not job.overwrite,
        f"{key} is there: it is the key of an earlier page, whose votes cannot be counted without "
        "it. Choose another --out, or give --overwrite",
    )
    folders = (job.a_pictures is not None, job.b_pictures is not None)
    yield any(folders) != all(folders), "give both --a-pictures and --b-pictures, or neither"
    if all(folders):
        yield job.a_pictures == job.b_pictures, "a_pictures and b_pictures are the same folder"
        yield bool(job.base), "base: pictures from folders are not drawn; leave --base out"
        return
    needed = {"a": job.a, "b": job.b, "base": job.base, "prompts": job.prompts}
    missing = [f"--{name}" for name, value in needed.items() if not value]
    yield (
        bool(missing),
        f"give {', '.join(missing)} to draw the pictures, or --a-pictures and --b-pictures to "
        "take those of two folders",
    )
    yield job.a == job.b, f"a and b are the same, {job.a}: give two models"
    repeated = not job.seeds or len(set(job.seeds)) < len(job.seeds)
    yield repeated, f"seeds: expected one or more, each once, got {job.seeds}"


def _named(job: CompareJob, model: str | None) -> str:
    return f"base {job.base}" if model in (None, BASE) else str(model)
