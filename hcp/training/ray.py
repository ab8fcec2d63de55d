"""Ray Train around the training loop: placement, workers, restarts, progress.

The only module of ``hcp`` that imports ray. Ray must be initialised by the caller (a flow does it
once). Nothing here knows the number of nodes: dataset, base and storage are reached by URI.
"""

import logging
import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import ray
import ray.train
from ray.train.torch import TorchConfig, TorchTrainer
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from hcp.training.cluster_name import cluster_named
from hcp.training.config import TrainConfig, Workers
from hcp.training.draining import NOTICES, Notices
from hcp.training.follow import Follower
from hcp.training.loop import RunEnd
from hcp.training.metrics import StepMetrics
from hcp.training.mix import check_data, settle_mix
from hcp.training.run_folder import (
    METRICS_NAME,
    MetricsLog,
    OnNote,
    read_metrics,
    run_name,
    write_summary,
)
from hcp.training.stopping import Mailbox, note_sigterm, sigterm_asks, watch
from hcp.training.takers import EventTakers
from hcp.training.watching import OnEvent, RunStart
from hcp.training.worker import Place, TrainJob, train_worker
from storage.errors import CheckpointError, TrainingStoppedError
from storage.locations import join, normalised, settled
from storage.versions import DatasetVersion

logger = logging.getLogger(__name__)

RAY_FOLDER = "ray"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainResult:
    """A finished training run."""

    checkpoint: str  # URI of the one that ``TrainConfig.export_step`` names
    last: str  # URI of the last checkpoint
    best: str | None  # URI of that of the lowest validation loss; None: nothing was validated
    run: str  # name of the run below `out`
    steps: int  # in `metrics_uri`
    metrics_uri: str  # every step of the run, earlier attempts included, as JSON lines
    skipped: int  # steps whose loss or gradient was not finite
    bad_samples: int  # distinct ones that could not be read
    bad_shards: int  # in so many shards; `summary.json` beside the metrics names them

    @property
    def metrics(self) -> tuple[StepMetrics, ...]:
        """Every step, read from ``metrics_uri``."""
        return read_metrics(self.metrics_uri)


def fit(
    config: TrainConfig,
    *,
    dataset: DatasetVersion,
    base: str,
    out: str,
    workers: Workers | None = None,
    resume: bool = False,
    on_event: OnEvent | None = None,
    on_note: OnNote = logger.warning,
) -> TrainResult:
    """Train on a dataset version with Ray Train.

    Args:
        dataset: the version; its train split is streamed.
        base: id or directory of the base pipeline, as every node sees it.
        out: directory or URL below which the run's folder is written.
        resume: go on with the last run of the same settings, dataset version and base; else start
            a new one beside it.
        on_event: called here with what happens (hcp.training.watching): the run's start, then, in
            a thread of its own, each optimizer step, validation and grid of pictures.
        on_note: called there with what a person should know: a step that was skipped, a shard
            that cannot be read, a checkpoint that could not be written.
    Raises:
        HcpError: base, dataset or the checkpoint to resume from cannot be used; too many samples
            cannot be read; the last checkpoint could not be written; too many steps in a row were
            not finite (``DivergedError``).
        TrainingStoppedError: SIGTERM came to this process or a worker; there is a checkpoint.
        RuntimeError: the cluster can never hold the workers.
        ray.train.TrainingFailedError: workers died more often than allowed.
    """
    workers = workers or Workers()
    _check_room(workers)
    config, out = settle_mix(config), normalised(out)
    check_data(dataset, config)
    run = run_name(config, dataset=dataset, base=base, out=out, resume=resume)
    job = TrainJob(
        config=config, root=dataset.root.uri, version=dataset.id, base=settled(base),
        run=join(out, run), keep_checkpoints=workers.keep_checkpoints,
    )  # fmt: skip
    takers = EventTakers(job.run, config, on_event)
    log = MetricsLog(join(job.run, METRICS_NAME), takers)
    with takers:
        takers(RunStart(run=run, folder=job.run, last_step=log.last_step))
        end = _run(job, workers, log=log, on_note=on_note, on_event=takers)
    return _result(end, job, log=log)


def _run(
    job: TrainJob, workers: Workers, *, log: MetricsLog, on_note: OnNote, on_event: OnEvent
) -> RunEnd:
    with sigterm_asks(workers.stop_grace_s) as request, _mailbox() as mailbox:
        trainer = _ray_trainer({"job": job, "mailbox": mailbox}, workers)
        follower = Follower(
            take=lambda: ray.get(mailbox.take.remote()),
            stop=lambda: ray.get(mailbox.stop.remote()),
            log=log,
            request=request,
            on_note=on_note,
            on_event=on_event,
        )
        try:
            with follower, _keep_interrupt_handler(), cluster_named():
                end = cast(RunEnd, trainer.fit().return_value)
        except ray.train.TrainingFailedError:
            on_note(
                f"training {job.run} failed more than workers.max_failures={workers.max_failures} "
                "times; --resume goes on from its last checkpoint"
            )
            raise
    write_summary(job.run, end.summary())
    if (error := _reason(end, job)) is not None:
        on_note(str(error))
        if request.asked:
            request.hand_on()
        raise error
    return end


def _reason(end: RunEnd, job: TrainJob) -> Exception | None:
    """What ended the training before its last step."""
    if end.error is not None:
        return end.error
    if end.stopped:
        return TrainingStoppedError(
            f"training {job.run} stopped at step {end.step} of {job.config.steps}, as asked, with "
            "a checkpoint; go on with --resume"
        )
    if end.last is None:
        return CheckpointError(f"training {job.run} ended without a checkpoint")
    return None


def _result(end: RunEnd, job: TrainJob, *, log: MetricsLog) -> TrainResult:
    assert end.last is not None
    chosen = end.last
    if job.config.export_step == "best":
        chosen = end.best or end.last
        if end.best is None:
            logger.warning("nothing was validated: the last checkpoint is exported, not the best")
    return TrainResult(
        checkpoint=chosen.uri,
        last=end.last.uri,
        best=None if end.best is None else end.best.uri,
        run=job.run.rpartition("/")[2],
        steps=log.count,
        metrics_uri=log.uri,
        skipped=end.skipped,
        bad_samples=end.bad_samples,
        bad_shards=len(end.bad),
    )


@contextmanager
def _mailbox() -> Generator[Any]:
    # On the driver's node, which outlives the workers', and again there if it is killed.
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
    actor: Any = ray.remote(Mailbox)
    mailbox = actor.options(num_cpus=0, max_restarts=-1, scheduling_strategy=here).remote()
    try:
        yield mailbox
    finally:
        ray.kill(mailbox)


def _ray_trainer(loop: dict[str, Any], workers: Workers) -> TorchTrainer:
    out, _, run = loop["job"].run.rpartition("/")
    return TorchTrainer(
        _train_worker,
        train_loop_config=loop,
        torch_config=TorchConfig(backend="nccl" if workers.gpus_each else "gloo"),
        scaling_config=ray.train.ScalingConfig(
            num_workers=workers.count,
            use_gpu=bool(workers.gpus_each),
            resources_per_worker=_resources(workers),
        ),
        run_config=ray.train.RunConfig(
            name=run,
            storage_path=join(out, RAY_FOLDER),  # Ray's own marker; checkpoints are ours
            failure_config=ray.train.FailureConfig(max_failures=workers.max_failures),
        ),
    )


def _resources(workers: Workers) -> dict[str, float]:
    resources = {"CPU": workers.cpus_each}
    return resources | ({"GPU": workers.gpus_each} if workers.gpus_each else {})


def _check_room(workers: Workers) -> None:
    # Ray Train would wait for ever, and say nothing.
    total: Any = ray.cluster_resources()
    for name, each in _resources(workers).items():
        if workers.count * each > total.get(name, 0.0):
            raise RuntimeError(
                f"{workers.count} workers of {each} {name} never fit: the Ray cluster has "
                f"{total.get(name, 0.0)} {name}"
            )


@contextmanager
def _keep_interrupt_handler() -> Generator[None]:
    # Ray Train sets its own SIGINT handler in the main thread, and leaves it there.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


def _train_worker(loop: dict[str, Any]) -> RunEnd:
    import ray.train.torch

    context, mailbox = ray.train.get_context(), loop["mailbox"]
    place = Place(
        rank=context.get_world_rank(),
        world_size=context.get_world_size(),
        device=str(ray.train.torch.get_device()),
    )
    # A signal handler can be set in the main thread only, where the worker's own calls run.
    myself: Any = ray.get_runtime_context().current_actor
    ray.get(myself.execute.remote(note_sigterm))
    if place.rank == 0:
        watch(lambda: ray.get(mailbox.stopping.remote()))
    # All workers ask together, in threads, so that no step waits for it; one of them is enough.
    notices = NOTICES if place.rank == 0 else Notices()
    notices.watch(ray.train.get_preemption_info)
    return train_worker(loop["job"], place, tell=mailbox.put.remote)
