"""The flow ablate-hcp: variants of the method, trained and evaluated on one dataset version."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

from prefect import get_run_logger, task

from flows.answers import learnt, question_table, runs_of, table_row
from flows.artifacts import Cell, publish_markdown, publish_table
from flows.drawing import keep_base_pictures, tasks_of, tasks_on
from flows.failed_runs import flow
from flows.judge import check_before
from flows.mlflow_run import AblationRun
from flows.names import split_dataset
from flows.outcomes import AblateOutcome, VariantOutcome
from flows.params import AblateParams, EvaluateSettings, TrainParams
from flows.ray_cluster import TASK_CPUS, Cluster
from flows.ray_session import ray_session
from flows.run_names import ablate_name
from flows.train import first_room
from flows.unattended import unattended
from flows.variant_pool import run_all
from flows.variant_run import VariantJob, bases_of, is_evaluated, variant_job
from flows.variants import (
    Changes,
    asked_questions,
    chosen,
    same_as_default,
    seeded,
    title_of,
    variant_params,
)
from storage.errors import ClusterError, HcpError
from storage.locations import join, write_atomic
from storage.versions import open_version

REPORT_NAME, ROWS_NAME = "ablation.md", "ablation.json"
BASE_PICTURES = "base-pictures"


class AblationError(HcpError):
    """Some variants failed; what the others say is in ``outcome``."""

    def __init__(self, message: str, outcome: AblateOutcome) -> None:
        """Keep the outcome beside the message."""
        super().__init__(message)
        self.outcome = outcome

    def __reduce__(self) -> tuple[type["AblationError"], tuple[str, AblateOutcome]]:
        return AblationError, (str(self), self.outcome)


@flow(name="ablate-hcp", flow_run_name=ablate_name)
@unattended()
def ablate_hcp(params: AblateParams) -> AblateOutcome:
    """Train and evaluate each variant with the same data, seeds and steps; answer the questions.

    Several run at a time where Ray has room. A variant that fails is recorded, and the others go
    on. What an earlier run with the same parameters ended is not done again.

    Raises:
        HcpError: an unknown variant, question or setting is named, before anything is trained.
        AblationError: variants failed; all others have ended.
        TrainingStoppedError: SIGTERM came; trainings that had begun have a checkpoint.
    """
    changes = chosen(params.variants, params.questions, params.own)
    for name, own in changes.items():  # told before Ray and the dataset are looked for
        variant_params(params.train, name, own)
    train, evaluate = with_one_dataset(params)
    check_before(evaluate, datasets=datasets_of(train, evaluate))
    with ray_session(one_address(train, evaluate)) as cluster, AblationRun(params) as run:
        train = train.model_copy(update={"parent_run": run.child().parent_run})
        jobs, same = variant_jobs(train, evaluate, changes, params.seeds)
        if is_left := any(not is_evaluated(job) for job in jobs):
            cluster = first_room(train, cluster)
        n = params.parallel or room_for(cluster, train, evaluate)
        jobs = [replace(job, evaluate=shared(job.evaluate, cluster, n)) for job in jobs]
        get_run_logger().info("%d trainings, %d at a time", len(jobs), n)
        if is_left:
            draw_base(evaluate, cluster)
        outcomes, failed = run_all(jobs, at_a_time=n)
        outcome = answer(params, changes, outcomes, failed=failed, same=same)
        publish(outcome, run)
        if failed:
            named = "; ".join(f"{name}: {why}" for name, why in failed.items())
            raise AblationError(
                f"{len(failed)} of {len(jobs)} trainings failed: {named}. The others ended: "
                f"{outcome.report}; started again, the ablation runs only what is missing",
                outcome,
            )
    return outcome


def one_address(train: TrainParams, evaluate: EvaluateSettings) -> str | None:
    """The cluster of both; where only one names one, that.

    Raises:
        ClusterError: they name two.
    """
    named = {each.ray_address for each in (train, evaluate) if each.ray_address is not None}
    if len(named) > 1:
        raise ClusterError(
            f"train.ray_address {train.ray_address} and evaluate.ray_address "
            f"{evaluate.ray_address} are two clusters: an ablation works on one; give both the same"
        )
    return named.pop() if named else None


def datasets_of(train: TrainParams, evaluate: EvaluateSettings) -> list[str]:
    """All that the variants learn from and are measured on."""
    also = [each.dataset for each in train.training.data.also]
    return [train.dataset, *also, *([evaluate.dataset] if evaluate.dataset else [])]


def with_one_dataset(params: AblateParams) -> tuple[TrainParams, EvaluateSettings]:
    """Training and evaluation on exact versions, whatever is published meanwhile; one registry."""
    version = open_version(*split_dataset(params.train.dataset))
    dataset = f"{version.root}@{version.id}"
    registry = params.train.registry or params.evaluate.registry
    judged = params.evaluate.dataset
    if judged is not None:
        held_out = open_version(*split_dataset(judged))
        judged = f"{held_out.root}@{held_out.id}"
    own = {"dataset": judged or dataset, "registry": registry}
    if params.evaluate.base_pictures is None:
        own["base_pictures"] = join(params.train.out, BASE_PICTURES)
    train = params.train.model_copy(update={"dataset": dataset, "registry": registry})
    return train, params.evaluate.model_copy(update=own)


def variant_jobs(
    train: TrainParams,
    evaluate: EvaluateSettings,
    changes: Mapping[str, Changes],
    seeds: Sequence[int],
) -> tuple[list[VariantJob], tuple[str, ...]]:
    """What is to run, seed by seed, and the names of variants that are the default."""
    bases = bases_of(train, evaluate)
    trainings = {name: variant_params(train, name, own) for name, own in changes.items()}
    same = tuple(same_as_default(trainings))
    jobs = [
        variant_job(
            name, seed, bases=bases, evaluate=evaluate,
            train=trainings[name] if seed is None else variant_params(
                seeded(train, seed), name, changes[name]
            ),
        )
        for seed in dict.fromkeys(seeds) or (None,)
        for name in changes
        if name not in same
    ]  # fmt: skip
    return jobs, same


@task(name="base-pictures")
def draw_base(evaluate: EvaluateSettings, cluster: Cluster) -> None:
    """Draw the base's pictures once for all variants, while every GPU is free."""
    keep_base_pictures(evaluate, tasks_on(evaluate, cluster))


def shared(evaluate: EvaluateSettings, cluster: Cluster, n: int) -> EvaluateSettings:
    """The GPUs of each of ``n`` evaluations at a time, where nobody says how many they take.

    More of them would wait for each other, each with the models of its own.
    """
    if evaluate.tasks is not None:
        return evaluate
    tasks = max(1, tasks_of(evaluate, cluster).count // n)
    return evaluate.model_copy(update={"tasks": tasks})


def room_for(cluster: Cluster, train: TrainParams, evaluate: EvaluateSettings) -> int:
    """How many variants fit at a time, each first as its training, then as its evaluation."""
    workers = train.workers
    trainings = cluster.room_for(
        workers.count,
        cpus=workers.cpus_each,
        gpus=cluster.gpus_each(workers.gpus_each, device=train.device),
    )
    gpus = cluster.gpus_each(evaluate.gpus, device=evaluate.device)
    return min(trainings, cluster.room_for(1, cpus=TASK_CPUS, gpus=gpus))


def answer(
    params: AblateParams,
    changes: Mapping[str, Changes],
    outcomes: Sequence[VariantOutcome],
    *,
    failed: Mapping[str, str],
    same: Sequence[str],
) -> AblateOutcome:
    """Tables and sentences, for the questions that what was run can answer."""
    questions = asked_questions([name for name in changes if name not in same])
    runs = runs_of(outcomes)
    return AblateOutcome(
        variants=tuple(outcomes),
        failed=failed,
        same=tuple(same),
        tables={key: question_table(each, runs, changes) for key, each in questions.items()},
        learnt=learnt(
            questions, runs, failed=failed, same=same,
            min_units=params.evaluate.promotion.min_prompts,
        ),
        report=join(params.train.out, REPORT_NAME),
    )  # fmt: skip


def publish(outcome: AblateOutcome, run: AblationRun) -> None:
    """Write text and tables into the ablation's folder, its MLflow run and the Prefect UI."""
    rows = [table_row(each) for each in outcome.variants]
    text = "\n".join([outcome.learnt, *map(markdown_table, outcome.tables.values())])
    folder = outcome.report.rpartition("/")[0]
    content = {"variants": rows, **outcome.model_dump(include={"tables", "failed", "same"})}
    write_atomic(outcome.report, text.encode())
    write_atomic(join(folder, ROWS_NAME), json.dumps(content, indent=1).encode())
    run.table(rows)
    run.file(REPORT_NAME, text.encode())
    publish_table("ablation", rows, description="every training against its base")
    for key, table in outcome.tables.items():
        publish_table(f"ablation-{key}", table, description=title_of(key))
    publish_markdown("what-we-learnt", outcome.learnt, description="what the intervals say")


def markdown_table(rows: Sequence[Mapping[str, Cell]]) -> str:
    """Rows as a markdown table; a column that only some rows have stays empty in the others."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [names, ["---"] * len(names)]
    lines += [[str(row.get(name, "")).replace("|", "\\|") for name in names] for row in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
