"""Ray Train around the training loop: placement, workers, restarts, checkpoints, progress.

The only module of ``hcp`` that imports ray. Ray must be initialised by the caller (a flow does it
once). Nothing here knows the number of nodes: dataset, base and storage are reached by URI.
"""

import contextvars
import logging
import os
import signal
import tempfile
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import ray
import ray.train
from ray.train.torch import TorchConfig, TorchTrainer
from ray.train.v2._internal.constants import ENV_VARS_TO_PROPAGATE
from ray.util.queue import Queue

from hcp.training.config import TrainConfig, Workers
from hcp.training.metrics import StepMetrics
from hcp.training.run_folder import METRICS_NAME, MetricsLog, OnMetrics, run_name
from hcp.training.trainer import Trainer, train_steps
from storage.errors import CheckpointError, HcpError
from storage.locations import join, normalised
from storage.versions import DatasetVersion

logger = logging.getLogger(__name__)

_POLL_S, _WRITE_EVERY = 0.5, 20
_ADDRESS = "RAY_ADDRESS"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainResult:
    """A finished training run."""

    checkpoint: str  # URI of the last checkpoint
    run: str  # name of the run below `out`
    metrics: tuple[StepMetrics, ...]  # every step of the run, earlier attempts included
    metrics_uri: str  # the same as JSON lines


def fit(
    config: TrainConfig,
    *,
    dataset: DatasetVersion,
    base: str,
    out: str,
    workers: Workers | None = None,
    resume: bool = False,
    on_metrics: OnMetrics | None = None,
) -> TrainResult:
    """Train HcP layers on a dataset version with Ray Train.

    Args:
        dataset: the version; its train split is streamed.
        base: id or directory of the base pipeline, as every node sees it.
        out: directory or URL below which the run's folder is written.
        resume: go on with the last run of the same settings, dataset version and base; else start
            a new one beside it.
        on_metrics: called here, in a thread of its own, after each optimizer step.
    Raises:
        HcpError: the base, the dataset or the checkpoint to resume from cannot be used.
        RuntimeError: the cluster can never hold the workers.
        ray.train.TrainingFailedError: workers died more often than allowed.
    """
    workers = workers or Workers()
    _check_room(workers)
    out = normalised(out)
    run = run_name(config, dataset=dataset, base=base, out=out, resume=resume)
    queue = Queue(actor_options={"num_cpus": 0})
    loop = {
        "config": config, "root": dataset.root, "version": dataset.id, "base": base, "queue": queue
    }  # fmt: skip
    trainer = _ray_trainer(loop, workers, run=run, out=out)
    log = MetricsLog(join(out, run, METRICS_NAME), on_metrics)
    try:
        with _tail(queue, log), _keep_interrupt_handler(), cluster_named():
            result = trainer.fit()
    finally:
        queue.shutdown(force=True)
    checkpoint = _last_checkpoint(result, run=run, out=out)
    steps = tuple(log.steps.values())
    return TrainResult(checkpoint=checkpoint, run=run, metrics=steps, metrics_uri=log.uri)


def _ray_trainer(loop: dict[str, Any], workers: Workers, *, run: str, out: str) -> TorchTrainer:
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
            storage_path=out,
            failure_config=ray.train.FailureConfig(max_failures=workers.max_failures),
            checkpoint_config=ray.train.CheckpointConfig(num_to_keep=workers.keep_checkpoints),
        ),
    )


def _last_checkpoint(result: Any, *, run: str, out: str) -> str:
    if result.return_value:  # what a worker could not start with
        raise CheckpointError(str(result.return_value))
    if result.checkpoint is None:
        raise CheckpointError(f"training run {run} below {out} ended without a checkpoint")
    return join(out, run, str(result.checkpoint.path).rstrip("/").rsplit("/", 1)[-1])


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
def _tail(queue: Queue, log: MetricsLog) -> Generator[None]:
    """Move what the workers report into the log while the block runs."""
    stop = threading.Event()

    def drain() -> None:
        for metrics in queue.get_nowait_batch(queue.qsize()):
            log.add(StepMetrics(**metrics))

    def poll() -> None:
        while not stop.wait(_POLL_S):
            drain()
            log.write(at_least=_WRITE_EVERY)

    # The flow's context goes along, so that its loggers work in `on_metrics`.
    thread = threading.Thread(target=contextvars.copy_context().run, args=(poll,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        drain()
        log.write()


@contextmanager
def cluster_named() -> Generator[None]:
    """Tell the actors of a training which cluster is theirs.

    Ray Train's own watchman asks "the" cluster of the machine whether its controller lives. Beside
    another one (``ray start``) that may be the wrong one, which knows of none, and the watchman
    then ends a healthy training.
    """
    before = os.environ.get(_ADDRESS)
    os.environ[_ADDRESS] = ray.get_runtime_context().gcs_address
    ENV_VARS_TO_PROPAGATE.add(_ADDRESS)
    try:
        yield
    finally:
        ENV_VARS_TO_PROPAGATE.discard(_ADDRESS)
        if before is None:
            del os.environ[_ADDRESS]
        else:
            os.environ[_ADDRESS] = before


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


def _train_worker(loop: dict[str, Any]) -> str | None:
    """One worker: set up, resume, train, report. Returns what made the start impossible."""
    from hcp.training.batches import ahead

    context = ray.train.get_context()
    problem: str | None = None
    trainer: Trainer | None = None
    try:
        trainer = _start(loop, rank=context.get_world_rank(), world_size=context.get_world_size())
    except (HcpError, ValueError) as error:
        problem = str(error)
    problem = _first_problem(problem, context.get_world_size())
    if problem is not None or trainer is None:
        return problem
    config: TrainConfig = loop["config"]
    rank0 = context.get_world_rank() == 0
    batches = ahead(_batches(trainer, loop))
    for metrics in train_steps(trainer, batches, until=config.steps):
        if rank0:
            loop["queue"].actor.put_nowait.remote(asdict(metrics))
        if metrics.step % config.checkpoint_every == 0 or metrics.step == config.steps:
            _report(trainer, metrics, rank0=rank0)
    return None


def _start(loop: dict[str, Any], *, rank: int, world_size: int) -> Trainer:
    import ray.train.torch
    import torch

    from hcp.base import load_base
    from hcp.training.methods.names import trains_unet
    from hcp.training.precision import base_dtype
    from hcp.training.state import load_checkpoint

    config: TrainConfig = loop["config"]
    device = str(ray.train.torch.get_device())
    dtype = base_dtype(config.precision, device)
    if trains_unet(config.method):  # what trains is float32, and begins with the base's every bit
        dtype = torch.float32
    pipeline = load_base(loop["base"], device=device, dtype=dtype)
    trainer = Trainer(
        pipeline, config, rank=rank, world_size=world_size,
        base_model=loop["base"], dataset_version=loop["version"],
    )  # fmt: skip
    checkpoint = ray.train.get_checkpoint()
    if checkpoint is None and config.init_from:
        trainer.start_from(config.init_from)
        logger.info("rank %d begins with %s", rank, config.init_from)
    if checkpoint is not None:
        with checkpoint.as_directory() as path:
            load_checkpoint(path, trainer)
        logger.info("rank %d goes on after step %d", rank, trainer.step_done)
    return trainer


def _batches(trainer: Trainer, loop: dict[str, Any]) -> Iterator[Any]:
    from hcp.training.batches import collate, iter_batches
    from storage.streaming import SampleStream
    from storage.versions import open_version

    config = trainer.config
    version = open_version(loop["root"], loop["version"])
    return iter_batches(
        SampleStream(version, split="train", seed=config.seed),
        lambda examples: collate(examples, tokenizer=trainer.pipeline.tokenizer),
        batch_size=config.batch_size,
        config=config.data,
        seed=config.seed,
        state=trainer.loader,
        rank=trainer.rank,
        world_size=trainer.world_size,
    )


def _report(trainer: Trainer, metrics: StepMetrics, *, rank0: bool) -> None:
    from hcp.training.state import save_checkpoint

    if not rank0:
        ray.train.report(asdict(metrics))  # a barrier: all ranks report equally often
        return
    with tempfile.TemporaryDirectory() as folder:
        save_checkpoint(folder, trainer)
        checkpoint = ray.train.Checkpoint.from_directory(folder)
        name = f"step-{metrics.step:08d}"
        ray.train.report(asdict(metrics), checkpoint=checkpoint, checkpoint_dir_name=name)


def _first_problem(problem: str | None, world_size: int) -> str | None:
    # Every rank must know, or the healthy ones would wait for the others' gradients.
    if world_size == 1:
        return problem
    import torch.distributed

    problems: list[str | None] = [None] * world_size
    torch.distributed.all_gather_object(problems, problem)
    return next((p for p in problems if p is not None), None)
