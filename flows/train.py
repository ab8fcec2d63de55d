"""The flow train-hcp: a dataset version and a base model in, a checkpoint out."""

from collections.abc import Iterable
from contextlib import closing
from dataclasses import asdict, replace
from functools import partial
from math import isfinite
from typing import TYPE_CHECKING

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from flows.artifacts import publish_table
from flows.cards import write_card
from flows.display import TrainingDisplay
from flows.failed_runs import flow
from flows.finishing import finishing
from flows.mlflow_run import TrainingRun
from flows.names import Dataset, model_path, split_dataset
from flows.outcomes import TrainOutcome
from flows.params import TrainParams
from flows.ray_metrics import TrainingMetrics
from flows.run_names import rename, train_name, train_title
from flows.series import Pace
from flows.suspension import raise_if_suspended, when_suspended
from flows.unattended import unattended
from hcp.config import FileDtype
from hcp.training.config import Workers
from storage.canonical import digest_of, plain_json
from storage.checkpoints import verify_checkpoint
from storage.errors import TrainingStoppedError
from storage.exports import export_files
from storage.registry import CHAMPION, champion_of, checkpoint_place
from storage.versions import DatasetVersion, open_version

if TYPE_CHECKING:
    from flows.ray_cluster import Cluster
    from hcp.training.metrics import StepMetrics
    from hcp.training.ray import TrainResult
    from hcp.training.watching import Event

LOSSES = ("loss", "denoise", "alignment")


@flow(name="train-hcp", flow_run_name=train_name)
@unattended(writes=lambda params: (params.out, training_part(params)))
def train_hcp(params: TrainParams, dataset: Dataset | None = None) -> TrainOutcome:
    """Fine-tune HcP layers into a frozen base; return the checkpoint and its losses.

    Args:
        params: the settings.
        dataset: ROOT@VERSION in place of the parameters' own: what an automation fills in from the
            event of a published version (Prefect replaces a deployment's parameters as a whole).
    Raises:
        HcpError: the dataset, the base or the checkpoint to resume from cannot be used.
    """
    from hcp.training.run_folder import iter_metrics

    version = open_version(*split_dataset(dataset or params.dataset))
    rename(train_title(params, f"{version.root}@{version.id}"))
    get_run_logger().info("dataset version %s: %d samples", version.id, version.n_samples)
    with TrainingRun(params, version) as run:
        result = fit_layers(starting_point(params), version, run)
        adapter = export_adapter(result.checkpoint, params.out, params.export)
        run.trained(adapter, digest=verify_checkpoint(adapter), checkpoint=result.checkpoint)
    first, last = loss_ends(iter_metrics(result.metrics_uri), result.steps)
    rows = [{"steps": "first tenth", **first}, {"steps": "last tenth", **last}]
    publish_table("losses", rows, description=f"Mean losses of {result.run}")
    outcome = TrainOutcome(
        checkpoint=result.last,
        best=result.best,
        adapter=adapter,
        log=result.metrics_uri,
        dataset=f"{version.root}@{version.id}",
        steps=result.steps,
        skipped=result.skipped,
        bad_samples=result.bad_samples,
        bad_shards=result.bad_shards,
        first=first,
        last=last,
        mlflow_run=run.run_id,
        tracking_uri=run.tracking_uri,
    )
    write_card(params, outcome)
    return outcome


def training_part(params: TrainParams) -> str:
    """Of ``out``: trainings of the same settings share a folder, so one waits for the other."""
    return digest_of(plain_json(asdict(params.training.plain())))[:12]


@task(name="starting-point")
def starting_point(params: TrainParams) -> TrainParams:
    """The parameters with the place of the checkpoint that ``training.init_from`` names.

    ``champion`` is that of ``model_name`` in ``registry``; where there is none yet, as before the
    first night, the training begins with new weights.

    Raises:
        HcpError: no such checkpoint, or it changed since it was registered.
    """
    given, logger = params.training.init_from, get_run_logger()
    if given is None:
        return params
    if given == CHAMPION:
        found = champion_of(params.model_name, params.registry)
        if found is None:
            logger.info("no champion of %s yet: new weights", params.model_name)
    else:
        found = checkpoint_place(given, params.registry)
        verify_checkpoint(found)
    if found is not None:
        logger.info("begins with the weights of %s", found)
    training = replace(params.training, init_from=found)
    return params.model_copy(update={"training": training})


@task(name="fit", cache_policy=NO_CACHE)
def fit_layers(params: TrainParams, version: DatasetVersion, run: TrainingRun) -> "TrainResult":
    """Train on Ray; what happens shows while it does, and goes into its MLflow run.

    A run that is paused or cancelled stops with a checkpoint, and goes on from it later.
    """
    from flows.ray_session import ray_session
    from hcp.training.ray import fit
    from hcp.training.stopping import ask_all

    display, log = TrainingDisplay(total=params.training.steps, link=run.place), get_run_logger()
    training = params.training
    meter = TrainingMetrics(
        Pace(
            steps=training.steps,
            images=training.batch_size * training.accumulate,
            workers=params.workers.count,
        )
    )

    def on_event(event: "Event") -> None:
        run(event)
        display(event)
        meter(event)

    with (
        ray_session(params.ray_address) as cluster,
        closing(display),
        closing(meter),
        when_suspended(partial(ask_all, in_grace=False)),
    ):
        train = partial(
            fit,
            params.training,
            dataset=version,
            base=model_path(params.base, "base"),
            out=params.out,
            workers=placed(params, cluster),
            resume=params.resume,
            on_event=on_event,
            on_note=log.warning,
        )
        try:
            return finishing(train, ask=ask_all)
        except TrainingStoppedError:
            raise_if_suspended()
            raise


def placed(params: TrainParams, cluster: "Cluster") -> Workers:
    """The workers, once the cluster has room for them."""
    workers, cluster = params.workers, first_room(params, cluster)
    return replace(workers, gpus_each=cluster.gpus_each(workers.gpus_each, device=params.device))


def first_room(params: TrainParams, cluster: "Cluster") -> "Cluster":
    """The cluster, once it has room for the workers.

    Raises:
        ClusterError: it has none in time.
    """
    workers = params.workers
    return cluster.wait_for(
        workers.count, cpus=workers.cpus_each, gpus=workers.gpus_each, device=params.device,
        limit_s=params.nodes_wait_s, say=get_run_logger().info,
    )  # fmt: skip


@task(name="export")
def export_adapter(checkpoint: str, out: str, precision: FileDtype = "float16") -> str:
    """Keep what was trained at ``<out>/adapters/<digest>``; ``<out>/latest`` points to it."""
    from hcp.checkpoint import file_in
    from hcp.training.run_folder import files_for_use

    names = files_for_use(checkpoint)
    return export_files(checkpoint, names, out, convert=partial(file_in, precision))


def loss_ends(
    metrics: Iterable["StepMetrics"], n: int
) -> tuple[dict[str, float], dict[str, float]]:
    """Mean losses over the first and over the last tenth of ``n`` steps, skipped ones left out."""
    tenth = max(1, n // 10)
    counts, sums = [0, 0], [dict.fromkeys(LOSSES, 0.0) for _ in range(2)]
    for i, each in enumerate(metrics):
        for part, inside in enumerate((i < tenth, i >= n - tenth)):
            if inside and isfinite(each.loss):
                counts[part] += 1
                for name in LOSSES:
                    sums[part][name] += getattr(each, name)
    first, last = (
        {name: value / max(count, 1) for name, value in part.items()}
        for count, part in zip(counts, sums, strict=True)
    )
    return first, last
