"""A training's MLflow run: what the flow knows of it, and its events as they come."""

import json
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from prefect import get_run_logger
from prefect.exceptions import Pause
from prefect.runtime import flow_run

from flows.artifacts import Cell, publish_link
from flows.params import AblateParams, TrainParams
from storage.background import Background
from storage.errors import HcpError, TrainingStoppedError
from storage.locations import join
from storage.mlflow_calls import check_tracking_uri, is_missing, sqlite_file, without_secrets
from storage.mlflow_runs import DatasetFacts, RunFacts, add_evaluation, run_page
from storage.provenance import git_commit, library_versions
from storage.registry import default_tracking_uri
from storage.tracking import TrackedRun
from storage.versions import DatasetVersion, open_version, split_dataset

if TYPE_CHECKING:
    from hcp.training.watching import Event

ADAPTER_TAG = "hcp.adapter_sha256"
LIBRARIES = ("hcp", "torch", "diffusers", "transformers", "ray", "prefect")
EVALUATION_S = 60.0  # how long an evaluation waits for MLflow
SECRET = {"registry": True, "train": {"registry"}, "evaluate": {"registry"}}
"""A registry's URI may hold a password."""
PARENT_S = 30.0  # how long an ablation waits for the id of its own run


class TrainingRun:
    """Takes a training's events; the run begins with the first. Nothing that fails here is raised.

    With ``params.mlflow`` off it takes them and does nothing.
    """

    def __init__(self, params: TrainParams, version: DatasetVersion) -> None:
        """See that there could be a run.

        Raises:
            RegistryError: ``params.registry`` is of no kind that MLflow could use.
        """
        self._params, self._version = params, version
        self.tracking_uri = default_tracking_uri(params.registry) if params.mlflow else None
        if self.tracking_uri is not None:
            check_tracking_uri(self.tracking_uri)
        self._run: TrackedRun | None = None

    def __call__(self, event: "Event") -> None:
        """Hand on one event."""
        from hcp.training.metrics import StepMetrics
        from hcp.training.watching import RunStart, SampleGrid, curves

        if isinstance(event, RunStart):
            self._begin(event)
        elif self._run is None:
            return
        elif isinstance(event, SampleGrid):
            self._run.file(event.name, event.png)
        else:
            series = "train" if isinstance(event, StepMetrics) else "validation"
            self._run.metrics(event.step, curves(event), series=series)

    @property
    def run_id(self) -> str | None:
        """MLflow's id of it; None until MLflow was reached."""
        return None if self._run is None else self._run.run_id

    def place(self) -> tuple[str | None, str] | None:
        """The run's page, where a server has it, and a sentence; None before MLflow was reached."""
        if self._run is None or self._run.run_id is None:
            return None
        how = ""
        if sqlite_file(self._run.tracking_uri) is not None:
            how = f"; `mlflow ui --backend-store-uri {self.tracking_uri}` shows it"
        text = f"MLflow run `{self._run.run_id}` of `{self._params.experiment}`{how}"
        return self._run.url, text

    def trained(self, adapter: str, *, digest: str, checkpoint: str) -> None:
        """Say what the training made."""
        if self._run is not None:
            tags = {"hcp.adapter": adapter, ADAPTER_TAG: digest, "hcp.checkpoint": checkpoint}
            self._run.tag(tags)

    def __enter__(self) -> "TrainingRun":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._run is None:
            return
        if isinstance(error, TrainingStoppedError | Pause):
            self._run.close("KILLED")
        else:
            self._run.__exit__(kind, error, trace)

    def _begin(self, start: Any) -> None:
        from hcp.training.look_files import VALIDATION_NAME, read_validations
        from hcp.training.run_folder import METRICS_NAME, read_metrics
        from hcp.training.watching import curves

        if self.tracking_uri is None:
            return
        say = get_run_logger().warning
        self._run = TrackedRun(self.tracking_uri, self._facts(start), say=say)
        if start.last_step:  # what an earlier part of the run could not deliver
            for metrics in read_metrics(join(start.folder, METRICS_NAME)):
                self._run.metrics(metrics.step, curves(metrics))
            for seen in read_validations(join(start.folder, VALIDATION_NAME)):
                self._run.metrics(seen.step, curves(seen), series="validation")

    def _facts(self, start: Any) -> RunFacts:
        params, version = self._params, self._version
        names = [each.dataset for each in params.training.data.also]
        also = [open_version(*split_dataset(name)) for name in names]
        return RunFacts(
            name=start.run,
            key=start.folder,
            experiment=params.experiment,
            settings=params.model_dump(mode="json", exclude=SECRET),
            datasets=[dataset_facts(each) for each in (version, *also)],
            tags=code_tags("train-hcp") | {"hcp.run_folder": start.folder},
            parent=params.parent_run,
            steps_before=start.last_step,
        )


class AblationRun:
    """The MLflow run that an ablation's trainings are parts of; nothing that fails is raised."""

    def __init__(self, params: AblateParams) -> None:
        """Begin it, or go on with that of the same folder."""
        self._run: TrackedRun | None = None
        registry = params.train.registry or params.evaluate.registry
        train = self._train = params.train.model_copy(update={"registry": registry})
        if not train.mlflow:
            return
        facts = RunFacts(
            name=f"ablation {train.out.rstrip('/').rsplit('/', 1)[-1]}",
            key=train.out,
            experiment=train.experiment,
            settings=params.model_dump(mode="json", exclude=SECRET),
            tags=code_tags("ablate-hcp"),
            parent=train.parent_run,
        )
        where = default_tracking_uri(registry)
        self._run = TrackedRun(where, facts, say=get_run_logger().warning)
        self._run.wait(PARENT_S)

    def child(self) -> TrainParams:
        """The parameters of a training that is a part of it."""
        parent = self._run and self._run.run_id
        return self._train.model_copy(update={"parent_run": parent}) if parent else self._train

    def table(self, rows: Sequence[Mapping[str, Cell]]) -> None:
        """Add the table of all variants."""
        if self._run is not None:
            data = json.dumps([dict(row) for row in rows], indent=1)
            self.file("ablation.json", data.encode())

    def file(self, name: str, content: bytes) -> None:
        """Add a file."""
        if self._run is not None:
            self._run.file(name, content)

    def __enter__(self) -> "AblationRun":
        return self

    def __exit__(self, *error: Any) -> None:
        if self._run is not None:
            self._run.__exit__(*error)


def dataset_facts(version: DatasetVersion) -> DatasetFacts:
    """A dataset version as an input of a run."""
    root = str(version.root)
    return DatasetFacts(
        name=root.rstrip("/").rsplit("/", 1)[-1],
        version=version.id,
        uri=f"{root}@{version.id}",
        profile={
            "samples": version.n_samples,
            "rejects": version.n_rejects,
            "shards": len(version.shards),
            "train": sum(count.train for count in version.counts),
            "val": sum(count.val for count in version.counts),
        },
    )


def code_tags(flow_name: str) -> dict[str, str]:
    """The code that runs and the flow run that runs it, as MLflow's own tags where it has such."""
    tags = {"mlflow.source.name": flow_name, "mlflow.source.type": "JOB"}
    commit = git_commit()
    if commit is not None:
        tags |= {"mlflow.source.git.commit": commit[0], "hcp.git_changed": str(commit[1]).lower()}
    tags |= {f"version.{name}": known for name, known in library_versions(LIBRARIES).items()}
    identity = {"prefect.flow_run_id": flow_run.get_id(), "prefect.flow_run": flow_run.get_name()}
    return tags | {name: str(value) for name, value in identity.items() if value}


def add_report(
    registry: str | None, digest: str, *, html: str, metrics: Mapping[str, float]
) -> None:
    """Add an evaluation to the MLflow run of the training that made the adapter, and link that.

    Where there is one.

    Args:
        registry: as the evaluation's parameters have it.
        digest: of the adapter's files.
        html: the report.
        metrics: the figures.
    """
    where = default_tracking_uri(registry)
    logger = get_run_logger()
    if is_missing(where):
        return

    pages: list[str] = []

    def add(_: object) -> None:
        files = {"evaluation/report.html": html.encode()}
        try:
            run = add_evaluation(where, {ADAPTER_TAG: digest}, files=files, metrics=metrics)
        except HcpError as error:
            logger.warning("the report is not added to the training's MLflow run: %s", error)
        else:
            if run is None:
                said = "the report is not added: MLflow has no run that made this adapter, or it "
                logger.info("%swas deleted there", said)
            else:
                logger.info("report added to the training's MLflow run %s", run)
                pages.extend(filter(None, [run_page(where, run)]))

    in_time(add, to=f"MLflow {without_secrets(where)}")
    for page in pages:
        publish_link("mlflow", page, description="MLflow run of the training, with this report")


def in_time(act: Callable[[object], None], *, to: str) -> None:
    """Do it in a thread that is left alone after ``EVALUATION_S``."""
    sender = Background[None](act, to=to, say=get_run_logger().warning)
    sender.put(None)
    sender.close(EVALUATION_S)
