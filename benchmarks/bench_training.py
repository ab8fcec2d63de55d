"""What stands around the training loop, as a share of it: Ray Train, and all the seeing.

The embedded base at 128 px, one thread. The same worker in a plain process (the bare loop), as Ray
Train's worker, and in a plain process with everything that shows a training: metrics.jsonl, MLflow
on a sqlite file, TensorBoard's files; they take turns. A validation at its default settings is
timed apart and spread over the steps between two. Sample pictures are not counted. Start-up is
left out: times are between steps, processor seconds of the process that trains, which other load
hardly changes, and wall seconds beside them.

Run: ``python -m benchmarks.bench_training [--quick] [--out FILE]``.
"""

import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from benchmarks.output import finish, options
from demo.embedded import SD_DIR
from hcp import HcpConfig
from hcp.training.config import DataConfig, TrainConfig
from hcp.training.metrics import StepMetrics
from hcp.training.run_folder import METRICS_NAME, MetricsLog
from hcp.training.takers import EventTakers
from hcp.training.validation import Validator, held_out, photo_batch
from hcp.training.watching import RunStart, ValidationConfig, curves
from hcp.training.worker import Place, TrainJob, make_trainer, train_worker
from storage.canonical import key_of
from storage.layout import Root
from storage.locations import join
from storage.mlflow_runs import RunFacts
from storage.records import Person, Sample, SourceRecord, Unit
from storage.shards import commit_unit
from storage.streaming import SampleStream
from storage.tracking import TrackedRun
from storage.versions import open_version, publish_version

SIDE_PX, BATCH, WARM_UP = 128, 8, 5
CAPTION = "a woman in a red coat walks along the beach"
TARGET = 1.03


class Spent(NamedTuple):
    """One step."""

    processor_s: float
    wall_s: float


class Clock:
    """Takes the time at each step."""

    def __init__(self) -> None:
        self.ticks: list[Spent] = []

    def tick(self) -> None:
        self.ticks.append(Spent(time.process_time(), time.perf_counter()))

    def step(self) -> Spent:
        """A step's mean, the first ones left out."""
        (cpu, wall), (last_cpu, last_wall) = self.ticks[WARM_UP], self.ticks[-1]
        n = len(self.ticks) - 1 - WARM_UP
        return Spent((last_cpu - cpu) / n, (last_wall - wall) / n)


def main() -> None:
    """Measure, print, write."""
    given = options(__doc__, "training").parse_args()
    steps, rounds, photos = (WARM_UP + 3, 1, 2) if given.quick else (WARM_UP + 100, 2, 32)
    with tempfile.TemporaryDirectory() as folder:
        job = make_job(Path(folder), steps, photos)
        spent: dict[str, list[Spent]] = {"bare": [], "ray": [], "seen": []}
        for number in range(rounds):
            for name, each in spent.items():
                own = replace(job, run=join(job.run, f"{name}-{number}"))
                each.append(under_ray(own) if name == "ray" else apart(own, seen=name == "seen"))
        validation_s = validation(job)
    bare_s = statistics.median(each.processor_s for each in spent["bare"])
    spread = validation_s / (bare_s * (ValidationConfig().every or 1))
    seen = ratio(spent, "seen", "processor_s")
    result: dict[str, Any] = {
        "settings": {"side_px": SIDE_PX, "batch": BATCH, "steps": steps, "rounds": rounds},
        "bare_step_s": round(bare_s, 4),
        "ray_ratio": ratio(spent, "ray", "processor_s"),
        "ray_ratio_wall": ratio(spent, "ray", "wall_s"),
        "seen_ratio": seen,
        "seen_ratio_wall": ratio(spent, "seen", "wall_s"),
        "validation_s": round(validation_s, 3),
        "validation_share": round(spread, 4),
        "seeing_ratio": round(seen + spread, 4),
        "steps_by_round": {name: [list(each) for each in all_] for name, all_ in spent.items()},
    }
    finish(given, result, [
        ("bare step, processor s", result["bare_step_s"], ""),
        ("Ray Train / bare, processor time", result["ray_ratio"], f"<= {TARGET}"),
        ("Ray Train / bare, wall time", result["ray_ratio_wall"], f"<= {TARGET}"),
        ("logs, MLflow, TensorBoard / bare, processor", seen, ""),
        ("one validation at its defaults, processor s", result["validation_s"], ""),
        ("its share, every 500 steps", result["validation_share"], ""),
        ("all the seeing / bare, processor time", result["seeing_ratio"], f"<= {TARGET}"),
    ])  # fmt: skip


def ratio(spent: dict[str, list[Spent]], name: str, which: str) -> float:
    """The median ratio to the bare loop of the same round."""
    pairs = zip(spent[name], spent["bare"], strict=True)
    return round(statistics.median(getattr(a, which) / getattr(b, which) for a, b in pairs), 4)


def make_job(folder: Path, steps: int, photos: int) -> TrainJob:
    """A training of drawn photos."""
    samples = [make_sample(i) for i in range(40 * photos)]
    records = [
        SourceRecord(key=s.key, uri=s.uri, caption=s.caption, content_tag=s.key) for s in samples
    ]
    root = Root.of(folder / "data")
    unit = Unit(fingerprint="0" * 32, records=records)
    commit_unit(root, unit, outcomes=samples)
    version = publish_version(root.uri, [unit.fingerprint], config={})
    config = TrainConfig(
        steps=steps, batch_size=BATCH, checkpoint_every=10**6,
        data=DataConfig(resolution_px=SIDE_PX, decode_threads=1), hcp=HcpConfig(width=256),
        validation=ValidationConfig(every=None, photos=photos), tensorboard=True,
    )  # fmt: skip
    return TrainJob(
        config=config, root=root.uri, version=version.id, base=str(SD_DIR), run=str(folder / "runs")
    )


def make_sample(i: int) -> Sample:
    """Noise with one person in the middle."""
    import io

    rng, side, buffer = np.random.default_rng(i), 160, io.BytesIO()
    small = rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)
    Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC).save(buffer, "JPEG")
    mask = np.zeros((side, side), np.uint8)
    mask[20:140, 50:110] = 1
    points = tuple((float(x), float(y), 0.9) for x, y in rng.uniform((50, 20), (110, 140), (17, 2)))
    person = Person(bbox_xyxy_px=(50, 20, 110, 140), score=0.9, keypoints=points, passes_gate=True)
    key = key_of(f"{i}.jpg")
    return Sample(
        key=key, uri=f"{i}.jpg", sha256=key * 4, phash=key, width_px=side, height_px=side,
        caption=CAPTION, attributes={}, people=(person,), human_spans=(),
        image_jpeg=buffer.getvalue(), mask=mask,
    )  # fmt: skip


def apart(job: TrainJob, *, seen: bool) -> Spent:
    """The worker in a process of its own."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_apart, args=(job, seen, sender))
    process.start()
    sender.close()  # here, so that a process that fails ends the wait
    spent = receiver.recv()
    process.join()
    return spent


def _apart(job: TrainJob, seen: bool, sender: Any) -> None:
    torch.set_num_threads(1)
    clock = Clock()
    if not seen:
        train_worker(job, Place(), lambda kind, _: clock.tick() if kind == "step" else None)
    else:
        _with_everything(job, clock)
    sender.send(clock.step())


def _with_everything(job: TrainJob, clock: Clock) -> None:
    database = join(job.run, "mlflow.db")
    tracked = TrackedRun(f"sqlite:///{database}", RunFacts(name="bench", key=job.run))
    tracked.wait(120)

    def to_mlflow(event: Any) -> None:
        if isinstance(event, StepMetrics):
            tracked.metrics(event.step, curves(event))

    with tracked, EventTakers(job.run, job.config, to_mlflow) as takers:
        log = MetricsLog(join(job.run, METRICS_NAME), takers)
        takers(RunStart(run="bench", folder=job.run))

        def tell(kind: str, value: Any) -> None:
            if kind == "step":
                log.add(StepMetrics(**value))
                log.write(at_least=20)
                clock.tick()

        train_worker(job, Place(), tell)


def under_ray(job: TrainJob) -> Spent:
    """The worker as Ray Train's."""
    import ray
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    from hcp.training.stopping import Mailbox

    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        actor: Any = ray.remote(Mailbox)
        mailbox = actor.options(num_cpus=0).remote()
        trainer = TorchTrainer(
            _timed_worker,
            train_loop_config={"job": job, "mailbox": mailbox},
            torch_config=TorchConfig(backend="gloo"),
            scaling_config=ScalingConfig(num_workers=1, resources_per_worker={"CPU": 0.9}),
            run_config=RunConfig(name="bench", storage_path=job.run),
        )
        spent: Any = trainer.fit().return_value
        return Spent(*spent)
    finally:
        ray.shutdown()


def _timed_worker(loop: dict[str, Any]) -> Sequence[float]:
    torch.set_num_threads(1)
    clock, mailbox = Clock(), loop["mailbox"]

    def tell(kind: str, value: Any) -> None:
        mailbox.put.remote(kind, value)
        if kind == "step":
            clock.tick()

    train_worker(loop["job"], Place(), tell)
    return list(clock.step())


def validation(job: TrainJob) -> float:
    """Processor seconds of one validation at its default settings."""
    torch.set_num_threads(1)
    trainer = make_trainer(job, Place())
    stream = SampleStream(open_version(job.root, job.version), split="val", seed=0)
    places = held_out([stream], job.config.validation)
    validator = Validator(trainer, places, to_batch=lambda p: photo_batch(trainer, p.read()))
    spent: list[float] = []
    for _ in range(3):
        start = time.process_time()
        assert validator.measure() is not None
        spent.append(time.process_time() - start)
    return statistics.median(spent)


if __name__ == "__main__":
    main()
