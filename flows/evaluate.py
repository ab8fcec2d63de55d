"""The flow evaluate-hcp: a checkpoint in, a report, a verdict and a registry entry out."""

import json
from dataclasses import asdict
from pathlib import Path

from prefect import get_run_logger, task

from flows.artifacts import Cell, publish_link, publish_markdown, publish_picture, publish_table
from flows.cards import add_evaluation
from flows.compare_page import beside_report, save_page
from flows.failed_runs import flow
from flows.jobs import EvaluationJob, EvaluationResult, plan_evaluation, run_evaluation
from flows.links import show_model
from flows.mlflow_run import add_report
from flows.outcomes import EvaluateOutcome
from flows.params import EvaluateParams
from flows.run_names import evaluate_name
from flows.unattended import unattended
from hcp.evaluation.results import EvaluationReport, Scores
from storage.checkpoints import verify_checkpoint
from storage.errors import CheckpointError
from storage.locations import join, normalised, write_atomic
from storage.registry import (
    URI_SCHEME,
    ModelEntry,
    Registry,
    checkpoint_place,
    default_tracking_uri,
)

REPORT_NAME, SCORES_NAME = "report.html", "scores.json"
WHY = "not measured"  # column of the reasons


@flow(name="evaluate-hcp", flow_run_name=evaluate_name)
@unattended()
def evaluate_hcp(params: EvaluateParams) -> EvaluateOutcome:
    """Compare a checkpoint with its base and the champion on the same prompts and seeds.

    With ``register_model`` the checkpoint enters the registry, and becomes champion if it passes
    the gate (``hcp.evaluation.promotion``). The champion itself is compared with its base alone.

    Raises:
        HcpError: a model, the prompts, the dataset or the registry cannot be used.
    """
    logger = get_run_logger()
    job = find_models(params)
    result = compare(job)
    report = write_page(params, result)
    complete_card(job, result)
    add_to_training(job, result)
    entry = register(job, result) if params.register_model else None
    for line in result.verdict.reasons:
        logger.info("gate: %s", line)
    promote = result.verdict.promote
    logger.info("%s; report %s", "promoted" if promote else "not promoted", report)
    return EvaluateOutcome(
        report=report,
        figures=result.figures,
        promoted=promote and entry is not None,
        verdict="\n".join(result.verdict.reasons),
        registry_uri=entry.registry_uri if entry else None,
        tracking_uri=default_tracking_uri(params.registry) if entry else None,
    )


@task(name="find-models")
def find_models(params: EvaluateParams) -> EvaluationJob:
    """What is compared: the candidate and, where registering was asked for, the champion."""
    place = checkpoint_place(params.checkpoint, params.registry)
    digest, champion = verify_checkpoint(place), None
    if params.register_model:
        registry = Registry(params.registry)
        champion = registry.champion(params.model_name)
        champion = champion and registry.verified(champion)
    itself = champion is not None and champion.digest == digest
    return EvaluationJob(
        params=params,
        checkpoint=place,
        digest=digest,
        champion=champion.uri if champion and not itself else None,
        reigning=champion.registry_uri if champion and itself else None,
    )


@task(name="compare")
def compare(job: EvaluationJob) -> EvaluationResult:
    """Draw and probe on every GPU that Ray has, then detect and decide in one task.

    Where one task is all there is, it draws too.
    """
    from flows.drawing import draw_apart, tasks_on, telling
    from flows.ray_session import TASK_RETRIES, ray_session, run_remote

    params = job.params
    with ray_session(params.ray_address) as cluster:
        tasks, drawn = tasks_on(params, cluster), ()
        if tasks.apart:
            parts = run_remote(
                plan_evaluation, job, tasks.n_parts, num_gpus=tasks.gpus_each, retries=TASK_RETRIES
            )
            drawn = draw_apart(params, job.places, parts, tasks)
        with telling(not tasks.apart) as tell:
            return run_remote(
                run_evaluation, job, drawn, tell, num_gpus=tasks.gpus_each, retries=TASK_RETRIES
            )


@task(name="write-report")
def write_page(params: EvaluateParams, result: EvaluationResult) -> str:
    """Write the report and the scores of each picture, and show the figures in the UI."""
    directory = normalised(params.out)
    report = join(directory, REPORT_NAME)
    write_atomic(report, result.html.encode())
    write_atomic(join(directory, SCORES_NAME), scores_json(result.figures).encode())
    page = report if "://" in report else Path(report).as_uri()
    publish_link("report", page, description=f"Evaluation report, {report}")
    publish_table(
        "evaluation", arm_rows(result.figures), description=f"Evaluation of {params.checkpoint}"
    )
    verdict = "passed" if result.verdict.promote else "not passed"
    bullets = "\n".join(f"- {line}" for line in result.verdict.reasons)
    publish_markdown(
        "verdict", f"# Gate {verdict}\n\n{bullets}\n\nReport: `{report}`", description=verdict
    )
    if result.samples is not None:
        arms = " against ".join(result.figures.arms)
        publish_picture("samples", result.samples, description=f"Same prompts and seeds: {arms}")
    write_compare_page(directory, result)
    return report


def write_compare_page(directory: str, result: EvaluationResult) -> None:
    """Write the page for raters beside the report, where one was asked for and can be."""
    page = result.compare
    if page is None:
        return
    if isinstance(page, str):
        get_run_logger().warning("no compare page: %s", page)
        return
    written = save_page(page, *beside_report(page, directory))
    said = f"Page for raters: `{written.page}`\n\nIts key, not for raters: `{written.key}`"
    notes = "".join(f"\n- {note}" for note in written.notes)
    publish_markdown("compare-page", f"{said}\n{notes}", description="Compare page")
    get_run_logger().info("compare page %s, key %s", written.page, written.key)


@task(name="complete-card")
def complete_card(job: EvaluationJob, result: EvaluationResult) -> None:
    """Put the figures into the model card beside the checkpoint, where one lies."""
    gate = "Gate passed" if result.verdict.promote else "Gate not passed"
    add_evaluation(
        job.checkpoint,
        arm_rows(result.figures),
        verdict=f"{gate}: {' '.join(result.verdict.reasons)}",
        judge=job.params.judge.weights,
    )


@task(name="add-to-training")
def add_to_training(job: EvaluationJob, result: EvaluationResult) -> None:
    """Add the report to the MLflow run of the training that made the checkpoint, if there is one.

    An MLflow that is away ends no evaluation.
    """
    registry, metrics = job.params.registry, result.figures.metrics()
    add_report(registry, job.digest, html=result.html, metrics=metrics)


@task(name="register")
def register(job: EvaluationJob, result: EvaluationResult) -> ModelEntry:
    """Enter the checkpoint in the registry; a passed gate moves the alias ``champion``.

    A checkpoint that was named by its registry URI, and the champion, keep the version they have.
    """
    params, registry = job.params, Registry(job.params.registry)
    if verify_checkpoint(job.checkpoint) != job.digest:
        raise CheckpointError(f"{job.checkpoint} changed while it was evaluated: evaluate it again")
    named = params.checkpoint if params.checkpoint.startswith(URI_SCHEME) else job.checkpoint
    entry = registry.register(
        params.model_name,
        checkpoint_uri=job.reigning or named,
        metrics=result.figures.metrics(),
        tags=result.tags,
    )
    if result.verdict.promote:
        registry.promote(entry.name, entry.version)
    place = {"name": entry.name, "version": str(entry.version)}
    show_model(default_tracking_uri(params.registry), place)
    return entry


def scores_json(figures: EvaluationReport) -> str:
    """What each picture and each held-out photo scored, with its prompt and seed, by model."""
    pictures = [
        {"prompt": prompt, "seed": seed} | _scores_of(figures.scores, i)
        for i, (prompt, seed) in enumerate(figures.config.pictures())
    ]
    shares = figures.photo_scores
    photos = [_scores_of(shares, i) for i in range(figures.n_photos if shares else 0)]
    return json.dumps({"pictures": pictures, "photos": photos}, indent=1, ensure_ascii=False)


def _scores_of(scores: Scores, i: int) -> dict[str, object]:
    return {name: {arm: own[i] for arm, own in arms.items()} for name, arms in scores.items()}


def arm_rows(figures: EvaluationReport) -> list[dict[str, Cell]]:
    """One row per measure, one column per model and one for why a measure has no figure.

    All rows have the same columns; a cell without a figure is None.
    """
    arms = {name: {**asdict(arm), **arm.more, "more": None} for name, arm in figures.arms.items()}
    names = dict.fromkeys(name for own in arms.values() for name in own)
    rows: list[dict[str, Cell]] = []
    for name in (*names, *(n for n in figures.not_measured if n not in names)):
        values = [own.get(name) for own in arms.values()]
        cells = [None if value is None else round(value, 4) for value in values]
        why = figures.not_measured.get(name)
        if why is not None or any(cell is not None for cell in cells):
            rows.append({"measure": name, **dict(zip(arms, cells, strict=True)), WHY: why})
    rows.sort(key=lambda row: row[WHY] is not None)  # what was not measured stands last
    return rows
