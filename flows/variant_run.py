"""One variant of an ablation: trained and evaluated, or found as an earlier run left it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version as version_of
from typing import Any

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from pydantic import ValidationError

from flows.evaluate import evaluate_hcp
from flows.names import Model, model_path, split_dataset
from flows.outcomes import EvaluateOutcome, Outcome, TrainOutcome, VariantOutcome
from flows.params import ComputeParams, EvaluateParams, EvaluateSettings, TrainParams
from flows.train import train_hcp
from flows.variants import settings_digest
from priors.weights import known_digests
from storage.canonical import digest_of, plain_json
from storage.checkpoints import verify_checkpoint
from storage.errors import HcpError, TrainingStoppedError, WeightsError
from storage.locations import exists, join, read_bytes, write_atomic

RECORD_NAME = "variant.json"
# Where an evaluation runs and what it keeps changes none of its figures.
_NOT_COUNTED = {
    *ComputeParams.model_fields, "gpus", "tasks", "out", "base", "dataset", "training_log",
    "base_pictures", "registry",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantJob:
    """A training and its evaluation, and by what they are known again."""

    variant: str
    seed: int | None
    train: TrainParams
    evaluate: EvaluateSettings
    train_digest: str
    digest: str  # of the evaluation too

    @property
    def title(self) -> str:
        """The variant, and its training's seed where several are asked for."""
        return self.variant if self.seed is None else f"{self.variant}, seed {self.seed}"


class VariantRecord(Outcome):
    """How far a variant has come; lies in its folder."""

    train_digest: str
    trained: TrainOutcome | None = None
    digest: str = ""
    evaluation: EvaluateOutcome | None = None


def bases_of(train: TrainParams, evaluate: EvaluateSettings) -> dict[str, str]:
    """What tells the two bases, and the judges' weights, from others of their names.

    Of one that is not here: its name.
    """
    bases = {"train": _base(train.base), "evaluate": _base(evaluate.base)}
    return {**bases, "judges": _judges(evaluate)}


def _judges(evaluate: EvaluateSettings) -> str:
    named: tuple[tuple[str | None, Model], ...] = (
        (evaluate.judge.weights, "judge"), (evaluate.bodies, "bodies"),
        (evaluate.mask_model, "masks"), (evaluate.features, "masks"),
    )  # fmt: skip
    return digest_of([_weights(model_path(name, kind)) for name, kind in named if name is not None])


def _weights(path: str) -> str | tuple[str, ...]:
    try:
        return known_digests(path) or path
    except WeightsError:  # the evaluation says what is wrong with it
        return path


def _base(base: str) -> str:
    from hcp.training.cache import base_digest

    try:
        return base_digest(model_path(base, "base"))
    except HcpError as error:
        get_run_logger().warning("the base counts by its name alone: %s", error)
        return base


def variant_job(
    variant: str, seed: int | None, *, train: TrainParams, evaluate: EvaluateSettings,
    bases: Mapping[str, str],
) -> VariantJob:  # fmt: skip
    """The job, in a folder of its own below the ablation's.

    Args:
        variant: its name.
        seed: of the training, where several are asked for.
        train: the variant's own parameters, with an exact dataset version.
        evaluate: the ablation's.
        bases: from :func:`bases_of`.
    """
    out = join(train.out, variant, *([] if seed is None else [f"seed-{seed}"]))
    trained = {
        "training": settings_digest(train.training),
        "dataset": split_dataset(train.dataset)[1],
        "base": bases["train"],
        "workers": train.workers.count,
        "export": train.export,
        "code": version_of("hcp"),
    }
    train_digest = digest_of(trained)
    prompts: Any = evaluate.prompts and read_bytes(evaluate.prompts).decode(errors="replace")
    judged = {
        "trained": train_digest,
        "settings": plain_json(evaluate.model_dump(mode="json", exclude=_NOT_COUNTED)),
        "dataset": split_dataset(evaluate.dataset or "")[1],
        "base": bases["evaluate"],
        "judges": bases["judges"],
        "prompts": prompts,
    }
    return VariantJob(
        variant=variant,
        seed=seed,
        train=train.model_copy(update={"out": out}),
        evaluate=evaluate.model_copy(update={"out": join(out, "report")}),
        train_digest=train_digest,
        digest=digest_of(judged),
    )


@task(name="variant", task_run_name="{job.title}", cache_policy=NO_CACHE)
def run_variant(job: VariantJob, stopping: Callable[[], bool]) -> VariantOutcome:
    """Train and evaluate what is not there yet; a training that broke off goes on.

    Raises:
        HcpError, RuntimeError: as train-hcp and evaluate-hcp do.
        TrainingStoppedError: the ablation is to stop.
    """
    _go_on(job, stopping)
    known = read_record(job)
    record = known or VariantRecord(train_digest=job.train_digest)
    trained = record.trained
    if trained is None:
        _write(job, record)
        trained = train_hcp(job.train.model_copy(update={"resume": known is not None}))
        record = record.model_copy(update={"trained": trained})
        _write(job, record)
        _go_on(job, stopping)
    evaluation = record.evaluation
    if evaluation is None:
        own = {"training_log": trained.log, "checkpoint": trained.adapter}
        evaluation = evaluate_hcp(EvaluateParams.model_validate(dict(job.evaluate) | own))
        _write(job, record.model_copy(update={"digest": job.digest, "evaluation": evaluation}))
    return VariantOutcome(variant=job.variant, seed=job.seed, train=trained, evaluation=evaluation)


def _write(job: VariantJob, record: VariantRecord) -> None:
    place = join(job.train.out, RECORD_NAME)
    write_atomic(place, record.model_dump_json(indent=1).encode())


def is_evaluated(job: VariantJob) -> bool:
    """Whether an earlier run ended it, so that nothing is drawn for it again."""
    record = read_record(job)
    return record is not None and record.evaluation is not None


def read_record(job: VariantJob) -> VariantRecord | None:
    """How far the same training has come; without what is not there any more or was judged else.

    None where none was begun, or another one under this name.
    """
    place = join(job.train.out, RECORD_NAME)
    if not exists(place):
        return None
    logger = get_run_logger()
    try:
        record = VariantRecord.model_validate_json(read_bytes(place))
    except (OSError, ValidationError) as error:
        logger.warning("%s does not count: %s", place, error)
        return None
    if record.train_digest != job.train_digest:
        return None
    try:
        if record.trained is not None:
            verify_checkpoint(record.trained.adapter)
    except (HcpError, OSError) as error:
        logger.warning("%s is trained again: %s", job.title, error)
        return VariantRecord(train_digest=job.train_digest)
    judged = record.evaluation is not None and exists(record.evaluation.report)
    if judged and record.digest == job.digest:
        return record
    return record.model_copy(update={"digest": "", "evaluation": None})


def _go_on(job: VariantJob, stopping: Callable[[], bool]) -> None:
    if stopping():
        raise TrainingStoppedError(f"{job.title}: the ablation is to stop")
