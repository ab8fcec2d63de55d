"""The flow rebuild-and-train: photos in, an evaluated and registered checkpoint out."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

from prefect import get_run_logger
from pydantic import BaseModel, ValidationError

from flows.artifacts import publish_markdown
from flows.evaluate import evaluate_hcp
from flows.failed_runs import flow
from flows.judge import check_before
from flows.names import model_path
from flows.outcomes import PipelineOutcome
from flows.params import ComputeParams, EvaluateParams, RebuildAndTrainParams, TrainParams
from flows.ray_session import ray_session
from flows.rebuild import rebuild_dataset
from flows.retries import will_pass
from flows.run_names import pipeline_name
from flows.suspension import begun_before
from flows.train import train_hcp
from flows.unattended import unattended
from storage.canonical import digest_of, plain_json
from storage.checkpoints import verify_checkpoint
from storage.errors import HcpError
from storage.locations import exists, join, read_bytes, write_atomic
from storage.registry import Registry, parse_model

# How the work is spread and continued changes no result.
_NOT_COUNTED = {
    *ComputeParams.model_fields, "workers", "gpus", "resume", "mlflow", "experiment", "parent_run",
}  # fmt: skip


@flow(name="rebuild-and-train", flow_run_name=pipeline_name)
@unattended()
def rebuild_and_train(params: RebuildAndTrainParams) -> PipelineOutcome:
    """Run rebuild-dataset, train-hcp and evaluate-hcp as subflows, the last two over one Ray.

    Where the same settings ended on the same dataset version before, and what they made is still
    there, that outcome comes back, marked ``unchanged``: nothing is trained and nothing registered.
    """
    check_before(
        params.evaluate,
        extractor=params.rebuild.extractor,
        datasets=[each.dataset for each in params.train.training.data.also],
    )
    version = rebuild_dataset(params.rebuild)
    dataset = f"{params.rebuild.root}@{version}"
    record = join(params.train.out, "pipelines", f"{_digest(params, dataset)}.json")
    known = None if params.train_unchanged else finished(record)
    if known is not None:
        _say_unchanged(known)
        return known.model_copy(update={"unchanged": True})
    with one_session(params.train, params.evaluate):
        own: dict[str, Any] = {"dataset": dataset, "resume": params.train.resume or begun_before()}
        own["registry"] = params.train.registry or params.evaluate.registry
        trained = train_hcp(TrainParams.model_validate(dict(params.train) | own))
        facts = {"training_log": trained.log, "checkpoint": trained.adapter}
        facts["dataset"] = params.evaluate.dataset or dataset
        evaluation = evaluate_hcp(EvaluateParams.model_validate(dict(params.evaluate) | facts))
    outcome = PipelineOutcome(dataset=dataset, train=trained, evaluation=evaluation)
    write_atomic(record, outcome.model_dump_json(indent=1).encode())
    return outcome


def one_session(*parts: ComputeParams) -> AbstractContextManager[object]:
    """One Ray connection for all that work on the same cluster; else each opens its own."""
    addresses = {part.ray_address for part in parts}
    return ray_session(addresses.pop()) if len(addresses) == 1 else nullcontext()


def finished(record: str) -> PipelineOutcome | None:
    """The outcome that an earlier run recorded, if its adapter, report and entry still exist."""
    if not exists(record):
        return None
    try:
        outcome = PipelineOutcome.model_validate_json(read_bytes(record))
        verify_checkpoint(outcome.train.adapter)
        evaluation = outcome.evaluation
        if evaluation.registry_uri is not None:
            name, version = parse_model(evaluation.registry_uri)
            Registry(evaluation.tracking_uri).get(name, version)
        return outcome if exists(evaluation.report) else None
    except (HcpError, OSError, ValidationError) as error:
        if will_pass(error):
            raise  # it may well be there: nothing is trained for a store that is away
        get_run_logger().warning("%s does not count: %s; training again", record, error)
        return None


def _say_unchanged(outcome: PipelineOutcome) -> None:
    said = (
        f"nothing changed: {outcome.dataset} was trained on with these settings before; nothing "
        f"trained, nothing registered. Adapter {outcome.train.adapter}, "
        f"report {outcome.evaluation.report}. Set train_unchanged to train again"
    )
    get_run_logger().info(said)
    publish_markdown("unchanged", said, description="nothing changed")


def _digest(params: RebuildAndTrainParams, dataset: str) -> str:
    """Of all that the outcome depends on: version, settings, prompts, base files, our code."""
    prompts = params.evaluate.prompts
    return digest_of(
        {
            "dataset": dataset,
            "train": _settings(params.train),
            "evaluate": _settings(params.evaluate),
            "prompts": read_bytes(prompts).decode(errors="replace") if prompts else None,
            "bases": [_files(base) for base in (params.train.base, params.evaluate.base)],
            "code": version_of("hcp"),
        }
    )


def _settings(params: BaseModel) -> Mapping[str, Any]:
    plain: Any = plain_json(params.model_dump(mode="json", exclude=_NOT_COUNTED))
    return plain


def _files(base: str) -> list[list[object]]:
    """Names, sizes and times of a local base's files: another base under the same name shows."""
    place = Path(model_path(base, "base")).expanduser()
    found = sorted(place.rglob("*")) if place.is_dir() else [place] if place.is_file() else []
    stats = [(str(path.relative_to(place)), path.stat()) for path in found if path.is_file()]
    return [[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats]
