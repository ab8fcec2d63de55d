"""A job's training, in the product's own loop, in this process; taken up where it was left."""

from statistics import fmean
from typing import Any

from benchmarks.evidence.controlnet import train_controlnet
from benchmarks.evidence.job import Job
from hcp.training.checkpoints import CheckpointFolder
from hcp.training.metrics import StepMetrics
from hcp.training.run_folder import METRICS_NAME, MetricsLog, read_metrics
from hcp.training.worker import Place, TrainJob, train_worker
from storage.errors import HcpError
from storage.locations import join
from storage.versions import split_dataset

_ENDS = 100  # steps at each end of the losses that are reported


def trained(job: Job) -> str:
    """The finished checkpoint of a job; trains what is missing of it.

    Raises:
        HcpError: the training ended before its last step.
    """
    assert job.config is not None
    run = str(job.folder)
    folder = CheckpointFolder(run, keep=1)
    done = [kept.uri for kept in folder.finished() if kept.step == job.config.steps]
    if done:
        return done[-1]
    root, version = split_dataset(job.bench.dataset)
    what = TrainJob(
        config=job.config, root=root, version=version, base=job.bench.base, run=run,
        keep_checkpoints=1,
    )  # fmt: skip
    job.folder.mkdir(parents=True, exist_ok=True)
    log = MetricsLog(join(run, METRICS_NAME))

    def tell(kind: str, value: Any) -> None:
        if kind == "past" and _step(value) <= log.last_step:
            return  # written before the kill
        if kind in ("step", "past"):
            log.add(value if isinstance(value, StepMetrics) else StepMetrics(**value))
            log.write(at_least=20)

    train = train_controlnet if job.kind == "controlnet" else train_worker
    end = train(what, Place(device=job.bench.device), tell)
    log.write()
    if end.error is not None or end.last is None or end.last.step != job.config.steps:
        raise HcpError(f"{job.arm}, seed {job.seed}: the training ended at {end.step}: {end.error}")
    return end.last.uri


def losses(job: Job) -> dict[str, float]:
    """Mean losses of the first and the last 100 steps."""
    steps = read_metrics(join(str(job.folder), METRICS_NAME))
    if not steps:
        return {}
    found: dict[str, float] = {}
    for name in ("denoise", "alignment"):
        values = [getattr(each, name) for each in steps if getattr(each, name) is not None]
        found[f"{name}_first"] = fmean(values[:_ENDS])
        found[f"{name}_last"] = fmean(values[-_ENDS:])
    return found


def _step(value: Any) -> int:
    return value.step if isinstance(value, StepMetrics) else int(value["step"])
