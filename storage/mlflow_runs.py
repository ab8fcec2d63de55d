"""MLflow's runs: what one is told at its start, how it is found again, what is added to it."""

import json
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from storage.canonical import digest_of
from storage.locations import join
from storage.mlflow_calls import MlflowCalls, sqlite_file, without_secrets

MAX_PARAMS, MAX_METRICS = 100, 1000  # of one request, as MLflow takes them
MAX_KEY, MAX_VALUE, MAX_TAG = 250, 6000, 8000  # characters
MAX_NAME, MAX_DIGEST, MAX_PROFILE = 500, 36, 60_000  # of a dataset

ARTIFACTS_VARIABLE = "MLFLOW_DEFAULT_ARTIFACT_ROOT"  # the name that `mlflow server` gives it
_KEY_TAG = "hcp.run_key"
_LOGGED_TAG = "hcp.logged."  # + series


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetFacts:
    """A dataset version that a run read."""

    name: str
    version: str
    uri: str
    profile: Mapping[str, object] = field(default_factory=dict[str, object])  # counts and the like


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """What a run is, known before its first step."""

    name: str
    key: str  # what stays the same when the run goes on later: the URI of its folder
    experiment: str = "hcp-training"
    settings: Mapping[str, object] = field(default_factory=dict[str, object])  # nested, plain
    datasets: Sequence[DatasetFacts] = ()
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    parent: str | None = None  # id of the MLflow run that this one is a part of
    steps_before: int = 0  # steps that the folder already has; 0: the run is new


def begin_run(calls: MlflowCalls, facts: RunFacts) -> Any:
    """Make the run, or find the one of the same key and open it again; MLflow's ``Run``."""
    artifacts = _artifacts(calls, facts)
    experiment = calls.experiment(facts.experiment, artifacts=artifacts)
    key = digest_of(facts.key)
    runs = tagged_runs(calls, [experiment], {_KEY_TAG: key})
    # A run that MLflow has steps of, and the folder has not, is of a folder that was removed.
    run = next((each for each in runs if facts.steps_before or not logged_steps(each)), None)
    if run is not None:
        calls.ask("update_run", run.info.run_id, status="RUNNING")
        return run
    tags = dict(facts.tags) | {_KEY_TAG: key}
    if facts.parent is not None:
        tags["mlflow.parentRunId"] = facts.parent
    cut = {name: value[:MAX_TAG] for name, value in tags.items()}
    return calls.ask("create_run", experiment, run_name=facts.name, tags=cut)


def facts_as_batches(facts: RunFacts, known: Mapping[str, str]) -> list[dict[str, Any]]:
    """The settings that a run with the params ``known`` lacks, in requests to ``log_batch``.

    MLflow's params never change: what a later part of the run does otherwise is a tag.
    """
    from mlflow.entities import Param, RunTag

    settings = flat(facts.settings)
    new = [Param(key, value) for key, value in settings.items() if key not in known]
    changed = [
        RunTag(f"changed.{key}"[:MAX_KEY], value)
        for key, value in settings.items()
        if known.get(key, value) != value
    ]
    batches: list[dict[str, Any]] = [
        {"params": new[start : start + MAX_PARAMS]} for start in range(0, len(new), MAX_PARAMS)
    ]
    return [*batches, {"tags": changed[:MAX_PARAMS]}] if changed else batches


def flat(settings: Mapping[str, object], prefix: str = "") -> dict[str, str]:
    """Nested settings as MLflow's params: dotted names, values as text, both cut to its limits."""
    found: dict[str, str] = {}
    for name, value in settings.items():
        key = f"{prefix}{name}"
        if isinstance(value, Mapping) and value:
            inner: Mapping[str, object] = value
            found |= flat(inner, f"{key}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value, default=str)
            found[key[:MAX_KEY]] = text[:MAX_VALUE]
    return found


def dataset_input(facts: DatasetFacts) -> Any:
    """A dataset version as an input of a run."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    dataset = Dataset(
        name=facts.name[:MAX_NAME],
        digest=facts.version[:MAX_DIGEST],
        source_type="uri",
        source=json.dumps({"uri": facts.uri}),
        profile=json.dumps(dict(facts.profile), default=str)[:MAX_PROFILE],
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])


def logged_steps(run: Any) -> dict[str, int]:
    """The last step of each series that MLflow has."""
    return {
        key.removeprefix(_LOGGED_TAG): int(value)
        for key, value in run.data.tags.items()
        if key.startswith(_LOGGED_TAG)
    }


def logged_tags(steps: Mapping[str, int]) -> list[Any]:
    """What ``logged_steps`` reads."""
    from mlflow.entities import RunTag

    return [RunTag(_LOGGED_TAG + series, str(step)) for series, step in steps.items()]


def log_file(calls: MlflowCalls, run_id: str, name: str, content: bytes) -> None:
    """Put a file into a run's artifacts; ``name`` may have folders."""
    folder, _, file = name.rpartition("/")
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / file
        path.write_bytes(content)
        calls.ask("log_artifact", run_id, str(path), folder or None)


def tagged_runs(
    calls: MlflowCalls, experiments: Sequence[str], tags: Mapping[str, str]
) -> list[Any]:
    """Runs that have all these tags, the newest first."""
    query = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
    order = ["attributes.start_time DESC"]
    return list(calls.ask("search_runs", list(experiments), filter_string=query, order_by=order))


def add_evaluation(
    tracking_uri: str,
    tags: Mapping[str, str],
    *,
    files: Mapping[str, bytes],
    metrics: Mapping[str, float],
    step: int = 0,
) -> str | None:
    """Add an evaluation's files and figures to the newest run that has these tags.

    Returns:
        The run's id; None where no run has the tags.
    Raises:
        RegistryError: MLflow cannot be reached, or refused.
    """
    from mlflow.entities import Metric

    calls = MlflowCalls(tracking_uri)
    experiments = [each.experiment_id for each in calls.ask("search_experiments")]
    runs = tagged_runs(calls, experiments, tags)
    if not runs:
        return None
    run_id, now_ms = str(runs[0].info.run_id), int(time.time() * 1000)
    values = [Metric(f"evaluation/{k}"[:MAX_KEY], v, now_ms, step) for k, v in metrics.items()]
    calls.ask("log_batch", run_id, metrics=values[:MAX_METRICS])
    for name, content in files.items():
        log_file(calls, run_id, name, content)
    return run_id


def run_page(tracking_uri: str, run_id: str) -> str | None:
    """The page of a run; None where no server shows it.

    Raises:
        RegistryError: MLflow cannot be reached, or has no such run.
    """
    if not tracking_uri.startswith(("http://", "https://")):
        return None
    run = MlflowCalls(tracking_uri).ask("get_run", run_id)
    home = without_secrets(tracking_uri).rstrip("/")
    return f"{home}/#/experiments/{run.info.experiment_id}/runs/{run_id}"


def _artifacts(calls: MlflowCalls, facts: RunFacts) -> str | None:
    """Where the files of a new experiment go, which every machine must reach; None: MLflow knows.

    MLflow's own default without a server is ./mlruns of whoever came first.
    """
    given = os.environ.get(ARTIFACTS_VARIABLE)
    if calls.where.startswith(("http://", "https://")):
        return None  # its server has a place of its own
    if given:
        return join(given, facts.experiment)
    database = sqlite_file(calls.where)
    if database is not None:
        return str(database.with_name(f"{database.stem}-artifacts") / facts.experiment)
    return join(facts.key.rstrip("/").rpartition("/")[0], "mlflow-artifacts", facts.experiment)
