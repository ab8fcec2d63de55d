"""An evaluation's pictures, drawn by as many workers as there are GPUs.

What goes through the U-Net is split: all pictures, and the attention maps of held-out photos. Who
judges them is one task, which takes what was drawn.
"""

from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

from prefect import get_run_logger

from flows.artifacts import Cell, publish_table
from flows.draw_progress import Drawn, Tell, counted, draw_progress
from flows.draw_worker import DrawJob, PartReport, load_drawing
from flows.extraction import SPARE
from flows.params import EvaluateSettings
from flows.ray_cluster import TASK_CPUS, Cluster
from flows.ray_metrics import Metered, UnitMetrics
from flows.ray_session import TASK_RETRIES, cancellable, run_remote
from priors.config import PoolConfig

if TYPE_CHECKING:
    from hcp.evaluation.drawing import Part
    from priors.reports import PoolReport, UnitReport

PARTS_PER_TASK = 4  # so that no worker waits long for the last one
TRIES = TASK_RETRIES + 1  # of a part whose worker dies, before the guilty picture is looked for


@dataclass(frozen=True, slots=True, kw_only=True)
class Tasks:
    """How many tasks draw at a time, and what each has."""

    count: int
    gpus_each: float
    spare: int = 0  # further ones, that wait for nodes which join

    @property
    def apart(self) -> bool:
        """Whether there is more than one task to draw."""
        return self.count + self.spare > 1

    @property
    def n_parts(self) -> int:
        """Into how many parts what they draw is cut."""
        return (self.count + self.spare) * PARTS_PER_TASK

    def pool(self) -> PoolConfig:
        """The pool of workers that they are."""
        return PoolConfig(
            count=self.count + self.spare, spare=self.spare,
            cpus_each=TASK_CPUS, gpus_each=self.gpus_each, max_attempts=TRIES,
        )  # fmt: skip


def tasks_on(params: EvaluateSettings, cluster: Cluster) -> Tasks:
    """What draws on the cluster, once one of its workers has room there.

    Raises:
        ClusterError: it never has.
    """
    ready = cluster.wait_for(
        gpus=params.gpus, device=params.device, limit_s=params.nodes_wait_s,
        say=get_run_logger().info,
    )  # fmt: skip
    return tasks_of(params, ready)


def tasks_of(params: EvaluateSettings, cluster: Cluster) -> Tasks:
    """As many as were asked for; by default one a GPU, and one where there is none.

    No more than fit into a local Ray; in a cluster those that do not fit wait for nodes that join.
    """
    gpus = cluster.gpus_each(params.gpus, device=params.device)
    room = cluster.room_for(1, cpus=TASK_CPUS, gpus=gpus)
    wanted = params.tasks or (max(1, int(cluster.gpus)) if gpus else 1)
    count = min(wanted, room)
    if not cluster.local:
        spare = wanted - count if params.tasks else SPARE if count > 1 else 0
        return Tasks(count=count, gpus_each=gpus, spare=spare)
    if wanted > room:
        get_run_logger().warning(
            "tasks: %d are wanted, Ray has room for %d of %g CPUs and %g GPUs each",
            wanted, room, TASK_CPUS, gpus,
        )  # fmt: skip
    return Tasks(count=count, gpus_each=gpus)


def draw_apart(
    params: EvaluateSettings,
    places: Mapping[str, str],
    parts: "list[Part]",
    tasks: Tasks,
) -> tuple[PartReport, ...]:
    """Draw and probe the parts on a pool of Ray actors, with progress in the UI.

    A part whose worker dies is tried again on another one.

    Args:
        places: arm -> checkpoint, without the base.
    Raises:
        HcpError: a model does not fit, workers keep dying, or pictures kill them.
    """
    if not parts:
        return ()
    from priors.pool import run_units

    job, found, log = (
        DrawJob(params=params, places=places, parts=parts), list[PartReport](), get_run_logger()
    )  # fmt: skip
    total, meter, started = sum(part.size for part in parts), UnitMetrics(), perf_counter()

    def on_report(report: "UnitReport") -> None:
        assert isinstance(report, PartReport)
        found.append(report)
        meter(report)
        done = sum(each.n_samples for each in found)
        show(Drawn(done, total, report.part.arm, perf_counter() - started))

    log.info("%d pictures and photos in %d parts, by %d workers", total, len(parts), tasks.count)
    with meter, cancellable() as check, draw_progress() as show:
        show(Drawn(0, total))
        pool = run_units(
            job.units(),
            make_extractor=Metered(make=job),
            on_report=on_report,
            config=tasks.pool(),
            on_note=log.warning,
            while_waiting=check,
        )
        meter.ended(pool)
    warn_of_kinds(report.device for report in found)
    publish_table("drawing", [speed_row(pool)], description="Speed of this run's drawing")
    return tuple(found)


def warn_of_kinds(devices: Iterable[str]) -> None:
    """Say where pictures were drawn on machines of several kinds."""
    if len(kinds := sorted(set(devices))) > 1:
        get_run_logger().warning(
            "pictures were drawn on %s: these may round differently", "; ".join(kinds)
        )


def speed_row(pool: "PoolReport") -> dict[str, Cell]:
    """How fast it was drawn, as one row."""
    return {
        "pictures": pool.n_samples,
        "pictures/s": round(pool.images_per_s, 2),
        "workers": pool.n_actors,
        "busy": round(pool.busy_fraction, 3),
        "replaced": pool.n_deaths,
    }


def keep_base_pictures(params: EvaluateSettings, tasks: Tasks) -> None:
    """Draw all of the base's pictures that are not kept yet, and keep them in ``base_pictures``.

    Raises:
        HcpError: the base or the prompts cannot be used.
    """
    parts = run_remote(plan_base, params, tasks.n_parts, num_gpus=tasks.gpus_each)
    if parts:
        drawn = draw_apart(params, {}, parts, tasks) if tasks.apart else ()
        with telling(not tasks.apart) as tell:
            run_remote(
                keep_base, params, drawn, tell, num_gpus=tasks.gpus_each, retries=TASK_RETRIES
            )  # fmt: skip


def plan_base(params: EvaluateSettings, n_parts: int) -> "list[Part]":
    """The base's pictures that are not kept, in about so many parts; runs where the models are."""
    from hcp.evaluation.tasks import plan

    return plan(load_drawing(params, {}), n_photos=0, n_parts=n_parts)


@contextmanager
def telling(alone: bool) -> Generator[Tell | None]:
    """What a task that draws alone gets, to show how far it is; None: others drew before it."""
    from flows.told import told

    if not alone:
        yield None
        return
    with draw_progress() as show, told(show) as tell:
        yield tell


def keep_base(
    params: EvaluateSettings, drawn: tuple[PartReport, ...], tell: Tell | None = None
) -> None:
    """Keep pictures of the base that were drawn elsewhere, or draw them; runs as ``plan_base``."""
    from hcp.evaluation.drawing import DrawnBefore
    from hcp.evaluation.tasks import drawn_sets

    here = load_drawing(params, {})
    if tell is not None:
        here = counted(here, n_photos=0, tell=tell)
    drawing = DrawnBefore(here=here, done=[report.done() for report in drawn])
    for arm, wanted in drawn_sets(here.config, ("base",)):
        for _ in drawing.pictures(arm, wanted):
            pass
