"""What an evaluation needs from both `priors` and `hcp`: functions for one process.

They run where the GPU is (a Ray task) and know neither Prefect nor Ray.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from flows.bias import bias_prompts_file, bias_tools, with_bias_prompts
from flows.compare_arms import page_of_arms
from flows.features import feature_space
from flows.judge import judge_path, judge_tags, marked, note_on_judge
from flows.names import model_path, split_dataset
from flows.params import EvaluateParams
from hcp.evaluation.results import CANDIDATE, CHAMPION, EvaluationConfig
from storage.errors import HcpError

if TYPE_CHECKING:
    from hcp.evaluation.base_pictures import BasePictures
    from hcp.evaluation.bodies import BodyJudge
    from hcp.evaluation.judge import JudgeNote
    from hcp.evaluation.measures import Measure
    from hcp.evaluation.poses import PoseBook
    from hcp.evaluation.promotion import Verdict
    from hcp.evaluation.results import EvaluationReport
    from hcp.evaluation.run import Evaluation
    from hcp.pages.votes import ComparePage
    from hcp.training.methods.trained import Trained
    from priors.pose import PoseModel
    from storage.records import Sample
    from storage.versions import DatasetVersion

logger = logging.getLogger(__name__)

SCAN_PER_PHOTO = 4  # val photos looked through for one with a human word
MAX_POSES = 5000  # photos whose people say what an action looks like


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
    from hcp.evaluation.similarity import clip_text_scorer
    from hcp.evaluation.tasks import task_measures
    from priors.device import resolve_device
    from storage.versions import open_version

    params, trained, device = job.params, load_models(job), resolve_device(job.params.device)
    config = evaluation_config(params)
    version = open_version(*split_dataset(params.dataset)) if params.dataset else None
    note = note_on_judge(params, version, trained[CANDIDATE], trained.get(CHAMPION))
    dtype = sampling_dtype(config.precision, device)
    pipeline = load_base(model_path(params.base, "base"), device=device, dtype=dtype)
    scorer = clip_text_scorer(params.clip_model, device=device) if params.clip_model else None
    photos, book = held_out(version, config.max_photos), pose_book(version)
    judge = load_judge(params, device)
    evaluation = evaluate(
        pipeline,
        trained[CANDIDATE],
        config=config,
        measures=[
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


def kept_pictures(
    params: EvaluateParams, config: EvaluationConfig, *, device: str, dtype: Any
) -> "BasePictures | None":
    """Where the base's pictures of earlier evaluations may lie; None: nowhere."""
    from hcp.evaluation.base_pictures import BasePictures
    from hcp.training.cache import base_digest

    if params.base_pictures is None:
        return None
    try:
        digest = base_digest(model_path(params.base, "base"))
    except HcpError as error:
        logger.warning("the base's pictures are drawn, not looked for: %s", error)
        return None
    return BasePictures(
        folder=params.base_pictures, base=digest, config=config, device=device, dtype=dtype
    )


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


def evaluation_config(params: EvaluateParams) -> EvaluationConfig:
    """The evaluation's own settings, with the prompts of the files where they are given.

    Raises:
        HcpError: a file cannot be read, or its prompts are not enough for an evaluation.
    """
    config = params.evaluation
    if params.bias_prompts is not None:
        path = bias_prompts_file(params.bias_prompts)
        config = with_bias_prompts(config, path, read_prompts(path))
    if params.prompts is None:
        return config
    prompts = read_prompts(params.prompts)
    try:
        return replace(config, prompts=prompts)
    except ValueError as error:
        raise HcpError(f"prompts {params.prompts}: {error}") from error


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


def held_out(version: "DatasetVersion | None", limit: int) -> "list[Sample]":
    """Validation photos whose caption has a human word, at most ``limit``."""
    if version is None:
        return []
    scanned = islice(version.iter_samples("val"), SCAN_PER_PHOTO * limit)
    return list(islice((sample for sample in scanned if sample.human_spans), limit))


def without_photos(version: "DatasetVersion | None", photos: "Sequence[Sample]") -> "list[Measure]":
    """Where there are no held-out photos: why what they are for was not measured."""
    from hcp.evaluation.tasks import reason

    if photos:
        return []
    why = "no dataset is given, so no held-out photos"
    if version is not None:
        why = f"dataset version {version.id} has no held-out photo whose caption has human words"
    return [reason(attention_share=why, human_map_share=why)]


def pose_book(version: "DatasetVersion | None", limit: int = MAX_POSES) -> "PoseBook | None":
    """The people of the dataset with what their captions say they do, at most ``limit`` photos."""
    from hcp.evaluation.poses import PoseBook
    from storage.people import captioned_people

    return None if version is None else PoseBook.of(islice(captioned_people(version), limit))


def load_judge(params: EvaluateParams, device: str) -> "PoseModel":
    """The pose model that judges people."""
    from priors.models import load_pose

    return load_pose(replace(params.judge, weights=judge_path(params)), device=device)


def body_judge(params: EvaluateParams, device: str) -> "BodyJudge | None":
    """The body judge that the parameters name, if they name one.

    Raises:
        WeightsError: its files cannot be used.
    """
    from hcp.evaluation.bodies import load_bodies

    if params.bodies is None:
        return None
    return load_bodies(model_path(params.bodies, "bodies"), device=device)


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
