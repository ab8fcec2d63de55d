"""What an evaluation needs from both `priors` and `hcp`: functions for one process.

They run where the GPU is (a Ray task) and know neither Prefect nor Ray.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from flows.bias import bias_tools
from flows.compare_arms import page_of_arms
from flows.draw_progress import Tell, counted
from flows.draw_worker import PartReport, load_drawing
from flows.evaluation_inputs import (
    body_judge,
    held_out,
    load_judge,
    pose_book,
    text_scorer,
    without_photos,
)
from flows.features import feature_space
from flows.judge import judge_tags, marked, note_on_judge
from flows.names import split_dataset
from flows.params import EvaluateParams
from hcp.evaluation.results import CANDIDATE, CHAMPION

if TYPE_CHECKING:
    from hcp.evaluation.bodies import BodyJudge
    from hcp.evaluation.drawing import Drawing, DrawnHere, Part
    from hcp.evaluation.fidelity.space import FeatureSpace
    from hcp.evaluation.judge import JudgeNote
    from hcp.evaluation.measures import Measure
    from hcp.evaluation.poses import PoseBook
    from hcp.evaluation.promotion import Verdict
    from hcp.evaluation.results import EvaluationReport
    from hcp.evaluation.run import Evaluation
    from hcp.evaluation.similarity import TextScorer
    from hcp.pages.votes import ComparePage
    from hcp.training.methods.trained import Trained
    from priors.pose import PoseModel
    from storage.records import Sample
    from storage.versions import DatasetVersion


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationJob:
    """One evaluation: what to compare, and with what."""

    params: EvaluateParams
    checkpoint: str  # where it lies: a registry's URI is looked up before
    digest: str  # of its files
    champion: str | None  # where the champion lies; None: compare with the base alone
    reigning: str | None  # the candidate's registry URI, if it is the champion itself

    @property
    def places(self) -> dict[str, str]:
        """Where the trained arms lie."""
        return {CANDIDATE: self.checkpoint} | ({CHAMPION: self.champion} if self.champion else {})


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationResult:
    """What comes back from the process that has the models."""

    html: str
    figures: "EvaluationReport"
    verdict: "Verdict"
    tags: Mapping[str, str]
    compare: "ComparePage | str | None" = None  # or why there is none, where one was asked for
    samples: bytes | None = None  # JPEG: pictures of all models, side by side


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """The models and data of an evaluation, loaded."""

    here: "DrawnHere"
    version: "DatasetVersion | None"
    photos: "Sequence[Sample]"
    judge: "PoseModel"
    bodies: "BodyJudge | None"
    scorer: "TextScorer | None"
    poses: "PoseBook | None"
    before: "Sequence[Measure]"  # say why something has no figure
    space: "FeatureSpace | str"
    note: "JudgeNote"


def plan_evaluation(job: EvaluationJob, n_parts: int) -> "list[Part]":
    """What is to be drawn, in about so many parts; every model is loaded, to see that it can be.

    Raises:
        HcpError: a model, the checkpoint, the prompts or the dataset cannot be used.
    """
    from hcp.evaluation.tasks import plan

    ready = prepared(job)
    all_measures(job, ready, drawing=ready.here)
    return plan(ready.here, n_photos=len(ready.photos), n_parts=n_parts)


def run_evaluation(
    job: EvaluationJob, drawn: "Sequence[PartReport]" = (), tell: Tell | None = None
) -> EvaluationResult:
    """Load the models, compare, decide, render the report.

    Args:
        drawn: what other processes drew for it; the rest is drawn here.
        tell: takes how far the drawing is, where all of it is done here.
    Raises:
        HcpError: a model, the checkpoint, the prompts or the dataset cannot be used.
    """
    from hcp.evaluation.drawing import DrawnBefore
    from hcp.evaluation.promotion import decide
    from hcp.evaluation.run import evaluate
    from hcp.pages.arm_sheet import arm_sheet

    params, ready = job.params, prepared(job)
    here, trained = ready.here, ready.here.trained
    if tell is not None:
        here = counted(here, n_photos=len(ready.photos), tell=tell)
    drawing = DrawnBefore(here=here, done=[report.done() for report in drawn])
    evaluation = evaluate(
        here.pipeline,
        trained[CANDIDATE],
        config=here.config,
        measures=all_measures(job, ready, drawing=drawing),
        detector=ready.judge,
        champion=trained.get(CHAMPION),
        val_samples=ready.photos,
        text_scorer=ready.scorer,
        poses=ready.poses,
        drawing=drawing,
        bodies=ready.bodies,
    )
    note = ready.note
    verdict = marked(judged(job, decide(evaluation.report, config=params.promotion)), note)
    return EvaluationResult(
        html=render_page(params, evaluation, verdict, ready.version, note),
        figures=evaluation.report,
        verdict=verdict,
        tags={**registry_tags(params, trained[CANDIDATE], verdict), **judge_tags(note)},
        compare=page_of_arms(params, evaluation.pictures),
        samples=arm_sheet(evaluation.pictures),
    )


def prepared(job: EvaluationJob) -> Prepared:
    """Load all that the evaluation needs.

    Raises:
        HcpError: something cannot be used.
    """
    from storage.versions import open_version

    params = job.params
    here = load_drawing(params, job.places)
    device = str(here.pipeline.device)
    version = open_version(*split_dataset(params.dataset)) if params.dataset else None
    photos = held_out(version, here.config.max_photos)
    scorer, without_text = text_scorer(params.clip_model, device)
    return Prepared(
        here=here,
        version=version,
        photos=photos,
        judge=load_judge(params, device),
        bodies=body_judge(params, device),
        scorer=scorer,
        poses=pose_book(version),
        before=[*without_text, *without_photos(version, photos)],
        space=feature_space(params.features, device=device),
        note=note_on_judge(params, version, here.trained[CANDIDATE], here.trained.get(CHAMPION)),
    )


def all_measures(job: EvaluationJob, ready: Prepared, *, drawing: "Drawing") -> "list[Measure]":
    """The evaluation's further measures, in the report's order.

    Raises:
        HcpError: prompts of theirs cannot be used.
    """
    from hcp.evaluation.bias_measure import bias_measure
    from hcp.evaluation.fidelity.measure import fidelity
    from hcp.evaluation.tasks import task_measures

    pipeline, trained, config = ready.here.pipeline, ready.here.trained, ready.here.config
    tools = bias_tools(job.params, ready.judge, ready.scorer)
    return [
        *ready.before,
        fidelity(ready.space, ready.version, ready.judge),
        *task_measures(
            pipeline, trained, config=config, text_scorer=ready.scorer, poses=ready.poses,
            drawing=drawing,
        ),
        bias_measure(pipeline, trained[CANDIDATE], tools, config, drawing=drawing),
    ]  # fmt: skip


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
