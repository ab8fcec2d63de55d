"""What an evaluation needs from both `priors` and `hcp`: functions for one process.

They run where the GPU is (a Ray task) and know neither Prefect nor Ray.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from flows.bias import bias_tools
from flows.compare_arms import page_of_arms
from flows.evaluation_inputs import (
    body_judge,
    evaluation_config,
    held_out,
    kept_pictures,
    load_judge,
    pose_book,
    text_scorer,
    without_photos,
)
from flows.features import feature_space
from flows.judge import judge_tags, marked, note_on_judge
from flows.names import model_path, split_dataset
from flows.params import EvaluateParams
from hcp.evaluation.results import CANDIDATE, CHAMPION

if TYPE_CHECKING:
    from hcp.evaluation.judge import JudgeNote
    from hcp.evaluation.promotion import Verdict
    from hcp.evaluation.results import EvaluationReport
    from hcp.evaluation.run import Evaluation
    from hcp.pages.votes import ComparePage
    from hcp.training.methods.trained import Trained
    from storage.versions import DatasetVersion


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationJob:
    """One evaluation: what to compare, and with what."""

    params: EvaluateParams
    checkpoint: str  # where it lies: a registry's URI is looked up before
    digest: str  # of its files
    champion: str | None  # where the champion lies; None: compare with the base alone
    reigning: str | None  # the candidate's registry URI, if it is the champion itself


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationResult:
    """What comes back from the process that has the models."""

    html: str
    figures: "EvaluationReport"
    verdict: "Verdict"
    tags: Mapping[str, str]
    compare: "ComparePage | str | None" = None  # or why there is none, where one was asked for


def run_evaluation(job: EvaluationJob) -> EvaluationResult:
    """Load the models, compare, decide, render the report.

    Raises:
        HcpError: a model, the checkpoint, the prompts or the dataset cannot be used.
    """
    from hcp.base import load_base, sampling_dtype
    from hcp.evaluation.fidelity.measure import fidelity
    from hcp.evaluation.promotion import decide
    from hcp.evaluation.run import evaluate
    from hcp.evaluation.tasks import task_measures
    from priors.device import resolve_device
    from storage.versions import open_version

    params, trained, device = job.params, load_models(job), resolve_device(job.params.device)
    config = evaluation_config(params)
    version = open_version(*split_dataset(params.dataset)) if params.dataset else None
    note = note_on_judge(params, version, trained[CANDIDATE], trained.get(CHAMPION))
    dtype = sampling_dtype(config.precision, device)
    pipeline = load_base(model_path(params.base, "base"), device=device, dtype=dtype)
    scorer, without_text = text_scorer(params.clip_model, device)
    photos, book = held_out(version, config.max_photos), pose_book(version)
    judge = load_judge(params, device)
    evaluation = evaluate(
        pipeline,
        trained[CANDIDATE],
        config=config,
        measures=[
            *without_text,
            *without_photos(version, photos),
            fidelity(feature_space(params.features, device=device), version, judge),
            *task_measures(pipeline, trained, config=config, text_scorer=scorer, poses=book),
            bias_tools(params, judge, scorer).measure(pipeline, trained[CANDIDATE], config),
        ],
        detector=judge,
        champion=trained.get(CHAMPION),
        val_samples=photos,
        text_scorer=scorer,
        poses=book,
        base_pictures=kept_pictures(params, config, device=device, dtype=dtype),
        bodies=body_judge(params, device),
    )
    verdict = marked(judged(job, decide(evaluation.report, config=params.promotion)), note)
    return EvaluationResult(
        html=render_page(params, evaluation, verdict, version, note),
        figures=evaluation.report,
        verdict=verdict,
        tags={**registry_tags(params, trained[CANDIDATE], verdict), **judge_tags(note)},
        compare=page_of_arms(params, evaluation.pictures),
    )


def registry_tags(
    params: EvaluateParams, candidate: "Trained", verdict: "Verdict"
) -> dict[str, str]:
    """What a registry's entry of the candidate says of it."""
    return {
        "base": params.base,
        "method": candidate.card.method,
        "dataset_version": candidate.card.dataset_version or "",
        "step": str(candidate.card.step),
        "gate": "passed" if verdict.promote else "not passed",
    }


def load_models(job: EvaluationJob) -> "dict[str, Trained]":
    """The candidate and, where there is one, the champion, by the names of their arms."""
    from hcp.training.methods import load_trained

    places = {CANDIDATE: job.checkpoint} | ({CHAMPION: job.champion} if job.champion else {})
    trained = {arm: load_trained(place) for arm, place in places.items()}
    if job.params.any_base:
        take_any_base(*trained.values())
    return trained


def take_any_base(*trained: "Trained") -> None:
    """Without a fingerprint of its own base, any base of its layout will do."""
    known: Any
    for known in trained:
        known.card = replace(known.card, base_fingerprint={})


def judged(job: EvaluationJob, verdict: "Verdict") -> "Verdict":
    """The verdict; nobody becomes champion by beating the base who is champion already."""
    if job.reigning is None:
        return verdict
    said = f"The candidate is the champion, {job.reigning}: not compared with itself, not promoted."
    return replace(verdict, promote=False, reasons=(said, *verdict.reasons))


def render_page(
    params: EvaluateParams,
    evaluation: "Evaluation",
    verdict: "Verdict",
    version: "DatasetVersion | None",
    note: "JudgeNote",
) -> str:
    """The HTML report of an evaluation, with its training and dataset where they are known."""
    from hcp.pages.report import ReportData, render
    from hcp.training.look_files import validations_beside
    from hcp.training.run_folder import read_metrics

    return render(
        ReportData(
            title="HcP evaluation",
            subtitle=f"{params.checkpoint} on {params.base}",
            evaluation=evaluation,
            verdict=verdict,
            metrics=read_metrics(params.training_log) if params.training_log else (),
            validations=validations_beside(params.training_log) if params.training_log else (),
            dataset=version,
            judge=note,
            facts={
                "base": params.base,
                "checkpoint": params.checkpoint,
                "method": evaluation.report.methods[CANDIDATE],
                "trained parameters": f"{evaluation.report.parameters[CANDIDATE]:,}",
                "dataset": params.dataset or "none",
                "people judged by": params.judge.weights,
                "bodies judged by": params.bodies or "nobody",
            },
        )
    )
