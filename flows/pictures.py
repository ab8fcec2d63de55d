"""Pictures of a base and an adapter: one, one for each prompt and seed, or strengths side by side.

A function for one process, where the GPU is; it knows neither Prefect nor Ray.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from flows.evaluation_inputs import read_prompts
from flows.names import model_path
from storage.errors import HcpError

if TYPE_CHECKING:
    from hcp.base import BasePipeline
    from hcp.evaluation.generation import Image8
    from hcp.training.methods import Trained

SUFFIXES = (".png", ".jpg", ".jpeg")
GRID = "grid.png"
SIDE_PX = 8  # a picture's sides are multiples of it: the VAE's factor

SamplingDtype = Literal["auto", "float32", "float16", "bfloat16"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureJob:
    """What is drawn, with what, where to."""

    base: str
    out: Path  # a picture's file; for several pictures a folder
    prompt: str | None = None
    prompts: str | None = None  # a file instead, one prompt a line
    negative_prompt: str | None = None  # of all of them
    seeds: tuple[int, ...] = (0,)  # of each prompt
    checkpoint: str | None = None  # folder, registry URI or hub id; None: the base alone
    registry: str | None = None  # MLflow URI, for a registry URI
    any_base: bool = False  # take a base with other weights than the adapter was trained on
    strength: float = 1.0
    strengths: tuple[float, ...] = ()  # instead: all of them, side by side in one grid
    width: int | None = None  # px; None: what the base was trained on
    height: int | None = None
    steps: int = 30
    guidance: float = 7.5
    device: str = "auto"
    dtype: SamplingDtype = "auto"
    maps: bool = False  # also ``<picture>.maps.png`` (hcp.pages.map_sheet)


def draw_pictures(job: PictureJob) -> Iterator[Path]:
    """Draw, write, and name each file as soon as it is there.

    Where ``out`` is a picture's name, that is the one picture, or the grid. Else it is a folder:
    ``<number>-seed<seed>.png`` for the prompt of that number (from 001) and each seed; with
    ``strengths`` ``<number>-seed<seed>-strength<strength>.png``, and ``grid.png`` of them all.
    Every picture is drawn by itself, so it is the one that its own command would give.

    Raises:
        HcpError: the base or the checkpoint cannot be used, or the job asks for what does not go
            together. What is quick to tell is told before the base is loaded.
    """
    from hcp.base import load_base, sampling_dtype
    from hcp.evaluation.generation import attached
    from hcp.training.methods import load_trained
    from priors.device import resolve_device

    prompts = _prompts(job)
    check(job, pictures=len(prompts) * len(job.seeds))
    device = resolve_device(job.device)
    adapter = None
    if job.checkpoint:
        adapter = load_trained(job.checkpoint, tracking_uri=job.registry)
    dtype = sampling_dtype(job.dtype, device)
    pipeline = load_base(model_path(job.base, "base"), device=device, dtype=dtype)
    with attached(pipeline, adapter, any_base=job.any_base):
        yield from _Drawing(job, pipeline, adapter).work(prompts)


def check(job: PictureJob, *, pictures: int) -> None:
    """See that what the job asks for goes together.

    Args:
        pictures: how many it makes, beside the strengths.
    Raises:
        HcpError: it does not; the message names the option that helps.
    """
    for wrong, message in (*_of_places(job, pictures), *_of_values(job)):
        if wrong:
            raise HcpError(message)


def _of_places(job: PictureJob, pictures: int) -> Iterator[tuple[bool, str]]:
    folder, grid = _is_folder(job.out), bool(job.strengths)
    yield (
        not folder and job.out.suffix.lower() not in SUFFIXES,
        f"out: expected a folder, or a name ending in {' or '.join(SUFFIXES)}, got {job.out}",
    )
    yield (
        not folder and not grid and pictures > 1,
        f"out: {pictures} pictures need a folder, got the file {job.out}",
    )
    yield (
        not folder and grid and job.maps,
        f"maps lie beside pictures: with --strengths, --out must be a folder, got {job.out}",
    )


def _of_values(job: PictureJob) -> Iterator[tuple[bool, str]]:
    strengths, alone = job.strengths or (job.strength,), not job.checkpoint
    sides = [side for side in (job.width, job.height) if side is not None]
    both = bool(job.strengths) and job.strength != 1
    yield both, "strength: give --strength or --strengths, not both"
    yield not all(map(isfinite, strengths)), f"strength must be finite, got {strengths}"
    yield _repeats(job.strengths), f"strengths: each once, got {job.strengths}"
    yield alone and strengths != (1.0,), "strength is the adapter's: give --checkpoint"
    yield alone and job.any_base, "any_base is about the adapter's base: give --checkpoint"
    yield (
        not job.seeds or not all(-(2**63) <= seed < 2**64 for seed in job.seeds),
        f"seeds: expected one or more numbers of 64 bits, got {job.seeds}",
    )
    yield _repeats(job.seeds), f"seeds: each once, got {job.seeds}"
    yield (
        any(side < SIDE_PX or side % SIDE_PX for side in sides),
        f"width and height must be multiples of {SIDE_PX} px, at least {SIDE_PX}, got {sides}",
    )
    yield (
        job.negative_prompt is not None and job.guidance <= 1,
        f"negative_prompt needs guidance above 1 to do anything, got {job.guidance}",
    )


@dataclass(frozen=True, slots=True)
class _Drawing:
    job: PictureJob
    pipeline: "BasePipeline"
    adapter: "Trained | None"

    def work(self, prompts: tuple[str, ...]) -> Iterator[Path]:
        """Every prompt, seed and strength; the files as they are written."""
        from hcp.pages.labelled_grid import labelled_grid

        job, folder = self.job, _is_folder(self.job.out)
        rows: list[tuple[str, list[Image8]]] = []
        for (number, prompt), seed in product(enumerate(prompts, 1), job.seeds):
            row: list[Image8] = []
            for strength in job.strengths or (job.strength,):
                files = self._draw(prompt, seed, strength)
                if folder:
                    yield from _write(files, job.out / _name(job, number, seed, strength))
                elif not job.strengths:
                    yield from _write(files, job.out)
                row.append(files[""])
            if job.strengths:
                rows.append((f"{prompt}, seed {seed}", row))
        if rows:
            heads = [f"strength {strength:g}" for strength in job.strengths]
            grid = {"": labelled_grid(rows, heads)}
            yield from _write(grid, job.out / GRID if folder else job.out)

    def _draw(self, prompt: str, seed: int, strength: float) -> "dict[str, Image8]":
        """The picture under "", its maps under ".maps" where they are wanted and there are any."""
        from hcp.evaluation.generation import PictureOptions, generate, record_picture
        from hcp.pages.map_sheet import map_sheet

        job, adapter = self.job, self.adapter
        if adapter is not None:
            adapter.strength = strength
        options = PictureOptions(
            negative_prompt=job.negative_prompt, width_px=job.width, height_px=job.height
        )
        settings: Any = {
            "steps": job.steps, "guidance": job.guidance, "adapter": adapter, "options": options
        }  # fmt: skip
        if not job.maps:
            return {"": generate(self.pipeline, [prompt], seeds=[seed], **settings)[0]}
        drawn = record_picture(self.pipeline, prompt, seed=seed, **settings)
        return {"": drawn.image} | ({".maps": map_sheet(drawn)} if drawn.words else {})


def _prompts(job: PictureJob) -> tuple[str, ...]:
    if (job.prompt is None) == (job.prompts is None):
        raise HcpError("prompt: give --prompt TEXT or --prompts FILE, one of them")
    return read_prompts(job.prompts) if job.prompts is not None else (job.prompt or "",)


def _name(job: PictureJob, number: int, seed: int, strength: float) -> str:
    return f"{number:03d}-seed{seed}{f'-strength{strength:g}' if job.strengths else ''}.png"


def _is_folder(out: Path) -> bool:
    return out.is_dir() or not out.suffix


def _repeats(values: tuple[float, ...]) -> bool:
    return max(Counter(values).values(), default=1) > 1


def _write(files: "dict[str, Image8]", place: Path) -> Iterator[Path]:
    from PIL import Image

    place.parent.mkdir(parents=True, exist_ok=True)
    for suffix, image in files.items():
        path = place.with_name(f"{place.stem}{suffix}.png") if suffix else place
        Image.fromarray(image).save(path)
        yield path
