"""What an evaluation or a picture needs from both `priors` and `hcp`: functions for one process.

They run where the GPU is (a Ray task) and know neither Prefect nor Ray.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.names import model_path, split_dataset
from flows.params import EvaluateParams
from storage.errors import HcpError

if TYPE_CHECKING:
    from hcp.evaluation.promotion import Verdict
    from hcp.evaluation.results import EvaluationReport
    from hcp.evaluation.run import Evaluation, EvaluationConfig
    from storage.records import Sample
    from storage.versions import DatasetVersion

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg")
SCAN_PER_PHOTO = 4  # val photos looked through for one with a human word


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationJob:
    """One evaluation: what to compare, and with what."""

    params: EvaluateParams
    champion: str | None  # checkpoint of the champion; None: compare with the base alone


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationResult:
    """What comes back from the process that has the models."""

    html: str
    figures: "EvaluationReport"
    verdict: "Verdict"
    tags: Mapping[str, str]


def run_evaluation(job: EvaluationJob) -> EvaluationResult:
    """Load the models, compare, decide, render the report.

    Raises:
        HcpError: a model, the checkpoint, the prompts or the dataset cannot be used.
    """
    from hcp import HcpAdapter
    from hcp.base import load_base
    from hcp.evaluation.promotion import decide
    from hcp.evaluation.run import evaluate
    from hcp.evaluation.similarity import clip_text_scorer
    from priors.config import ModelConfig
    from priors.device import resolve_device
    from priors.models import load_pose

    params = job.params
    device = resolve_device(params.device)
    candidate = HcpAdapter.from_pretrained(params.checkpoint)
    version = open_evaluation_dataset(params)
    evaluation = evaluate(
        load_base(model_path(params.base, "base"), device=device),
        candidate,
        config=evaluation_config(params),
        detector=load_pose(
            ModelConfig(
                weights=model_path(params.pose_model, "pose"),
                imgsz=params.pose_image_size_px,
                trust_weights=params.trust_weights,
            ),
            device=device,
        ),
        champion=HcpAdapter.from_pretrained(job.champion) if job.champion else None,
        val_samples=held_out(version, params.attention_photos),
        text_scorer=clip_text_scorer(params.clip_model, device=device)
        if params.clip_model
        else None,
    )
    verdict = decide(evaluation.report)
    return EvaluationResult(
        html=render_page(params, evaluation, verdict, version),
        figures=evaluation.report,
        verdict=verdict,
        tags={
            "base": params.base,
            "dataset_version": candidate.card.dataset_version or "",
            "step": str(candidate.card.step),
            "gate": "passed" if verdict.promote else "not passed",
        },
    )


def evaluation_config(params: EvaluateParams) -> "EvaluationConfig":
    """The evaluation's own configuration; prompts from the file where one is given."""
    from hcp.evaluation.prompts import DEFAULT_PROMPTS
    from hcp.evaluation.run import EvaluationConfig

    return EvaluationConfig(
        prompts=read_prompts(params.prompts) if params.prompts else DEFAULT_PROMPTS,
        seeds=tuple(range(params.seeds)),
        steps=params.inference_steps,
        guidance=params.guidance,
        max_photos=params.attention_photos,
    )


def read_prompts(path: str) -> tuple[str, ...]:
    """The non-empty lines of a text file.

    Raises:
        HcpError: it cannot be read, or has no line.
    """
    from storage.locations import read_bytes

    try:
        lines = read_bytes(path).decode("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise HcpError(f"prompts {path}: not a readable text file: {error}") from error
    prompts = tuple(line.strip() for line in lines if line.strip())
    if not prompts:
        raise HcpError(f"prompts {path}: expected one prompt a line, got an empty file")
    return prompts


def open_evaluation_dataset(params: EvaluateParams) -> "DatasetVersion | None":
    """The dataset version that the parameters name, if any."""
    from storage.versions import open_version

    return open_version(*split_dataset(params.dataset)) if params.dataset else None


def held_out(version: "DatasetVersion | None", limit: int) -> "list[Sample]":
    """Validation photos whose caption has a human word, at most ``limit``."""
    if version is None:
        return []
    scanned = islice(version.iter_samples("val"), SCAN_PER_PHOTO * limit)
    return list(islice((sample for sample in scanned if sample.human_spans), limit))


def render_page(
    params: EvaluateParams,
    evaluation: "Evaluation",
    verdict: "Verdict",
    version: "DatasetVersion | None",
) -> str:
    """The HTML report of an evaluation, with its training and dataset where they are known."""
    from hcp.pages.report import ReportData, render
    from hcp.training.run_folder import read_metrics

    return render(
        ReportData(
            title="HcP evaluation",
            subtitle=f"{params.checkpoint} on {params.base}",
            evaluation=evaluation,
            verdict=verdict,
            metrics=read_metrics(params.training_log) if params.training_log else (),
            dataset=version,
            facts={
                "base": params.base,
                "checkpoint": params.checkpoint,
                "dataset": params.dataset or "none",
                "people judged by": params.pose_model,
            },
        )
    )


def generate_picture(
    *,
    base: str,
    prompt: str,
    out: Path,
    checkpoint: str | None,
    seed: int,
    steps: int,
    guidance: float,
    device: str = "auto",
    maps: bool = False,
) -> list[Path]:
    """Draw one picture and write it; with ``maps`` also ``<out>.maps.png`` (hcp.pages.map_sheet).

    Returns:
        The files written; the maps' one is absent where the prompt has no human word.
    Raises:
        HcpError: the base or the checkpoint cannot be used, or ``out`` is no picture's name. What
            is quick to tell is told before the base is loaded.
    """
    from PIL import Image

    from hcp import HcpAdapter
    from hcp.base import load_base
    from hcp.evaluation.generation import generate, record_picture
    from hcp.pages.map_sheet import map_sheet
    from priors.device import resolve_device

    if out.suffix.lower() not in PICTURE_SUFFIXES:
        raise HcpError(f"out: expected a name ending in {' or '.join(PICTURE_SUFFIXES)}, got {out}")
    adapter = HcpAdapter.from_pretrained(checkpoint) if checkpoint else None
    pipeline = load_base(model_path(base, "base"), device=resolve_device(device))
    settings: Any = {"steps": steps, "guidance": guidance}
    files: dict[Path, Any] = {}
    if maps:
        drawn = record_picture(pipeline, prompt, seed=seed, adapter=adapter, **settings)
        files[out] = drawn.image
        if drawn.words:
            files[out.with_name(f"{out.stem}.maps.png")] = map_sheet(drawn)
    else:
        files[out] = generate(pipeline, [prompt], seeds=[seed], adapter=adapter, **settings)[0]
    out.parent.mkdir(parents=True, exist_ok=True)
    for path, image in files.items():
        Image.fromarray(image).save(path)
    return list(files)
