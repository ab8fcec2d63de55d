"""The flow train-hcp: a dataset version and a base model in, a checkpoint out."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from prefect import flow, get_run_logger, task

from flows.artifacts import Progress, publish_table
from flows.names import model_path, split_dataset
from flows.outcomes import TrainOutcome
from flows.params import TrainParams, TrainSettings
from storage.exports import export_files
from storage.versions import DatasetVersion, open_version

if TYPE_CHECKING:
    from flows.ray_session import Cluster
    from hcp.training.config import TrainConfig, Workers
    from hcp.training.ray import TrainResult
from hcp.training.trainer import StepMetrics

LOSSES = ("loss", "denoise", "alignment")


@flow(name="train-hcp")
def train_hcp(params: TrainParams) -> TrainOutcome:
    """Fine-tune HcP layers into a frozen base; return the checkpoint and its losses.

    Raises:
        HcpError: the dataset, the base or the checkpoint to resume from cannot be used.
    """
    version = open_version(*split_dataset(params.dataset))
    get_run_logger().info("dataset version %s: %d samples", version.id, version.n_samples)
    result = fit_layers(params, version)
    adapter = export_adapter(result.checkpoint, params.out)
    first, last = loss_ends(result.metrics)
    publish_table(
        "losses",
        [{"steps": "first tenth", **first}, {"steps": "last tenth", **last}],
        description=f"Mean losses of {result.run}",
    )
    return TrainOutcome(
        checkpoint=result.checkpoint,
        adapter=adapter,
        log=result.metrics_uri,
        dataset=f"{version.root}@{version.id}",
        steps=len(result.metrics),
        first=first,
        last=last,
    )


@task(name="fit")
def fit_layers(params: TrainParams, version: DatasetVersion) -> "TrainResult":
    """Train on Ray; progress and losses show while it runs."""
    from flows.ray_session import ray_session
    from hcp.training.ray import fit

    progress = Progress("train", total=params.steps, unit="steps")

    def on_metrics(metrics: "StepMetrics") -> None:
        note = f"loss {metrics.loss:.4f}, alignment {metrics.alignment:.4f}"
        progress.update(metrics.step, note)

    with ray_session(params.ray_address) as cluster:
        return fit(
            train_config(params),
            dataset=version,
            base=model_path(params.base, "base"),
            out=params.out,
            workers=workers_for(params, cluster),
            resume=params.resume,
            on_metrics=on_metrics,
        )


@task(name="export")
def export_adapter(checkpoint: str, out: str) -> str:
    """Keep the trained adapter at ``<out>/adapters/<digest>``; ``<out>/latest`` points to it."""
    from hcp.checkpoint import CARD, WEIGHTS

    return export_files(checkpoint, (WEIGHTS, CARD), out)


def train_config(params: TrainSettings) -> "TrainConfig":
    """The training's own configuration."""
    from hcp.training.config import DataConfig, TrainConfig

    return TrainConfig(
        steps=params.steps,
        batch_size=params.batch_size,
        learning_rate=params.learning_rate,
        warmup_steps=params.warmup_steps,
        ema_decay=params.ema_decay,
        checkpoint_every=params.checkpoint_every,
        precision=params.precision,
        seed=params.seed,
        data=DataConfig(resolution_px=params.resolution_px),
        hcp=params.hcp,
    )


def workers_for(params: TrainSettings, cluster: "Cluster") -> "Workers":
    """Ray Train workers; with a GPU each where the cluster has one."""
    from hcp.training.config import Workers

    gpus = cluster.gpus_each(params.gpus_per_worker)
    return Workers(count=params.workers, cpus_each=params.cpus_per_worker, gpus_each=gpus)


def loss_ends(
    metrics: Sequence["StepMetrics"],
) -> tuple[dict[str, float], dict[str, float]]:
    """Mean losses over the first and over the last tenth of the steps."""
    tenth = max(1, len(metrics) // 10)

    def mean(part: Sequence["StepMetrics"]) -> dict[str, float]:
        return {name: sum(getattr(m, name) for m in part) / len(part) for name in LOSSES}

    return mean(metrics[:tenth]), mean(metrics[-tenth:])
