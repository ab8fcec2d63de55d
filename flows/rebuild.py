"""The flow rebuild-dataset: captioned photos in, a dataset version out."""

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from prefect import flow, get_run_logger, task
from prefect.events import emit_event
from prefect.runtime import flow_run

from flows.artifacts import Cell, Progress, publish_picture, publish_table
from flows.extraction import ExtractorFactory, extraction_digest
from flows.params import RebuildParams
from hcp.pages.sample_sheet import sample_sheet
from priors.config import PoolConfig
from storage.layout import Root
from storage.plan import Plan, PlanConfig, plan_units
from storage.records import Unit
from storage.runlog import RunLog
from storage.sources import resolve_source
from storage.versions import DatasetVersion
from storage.work import Work, open_work, publish_work

if TYPE_CHECKING:
    from priors.remote_decode import RemoteDecode
    from priors.reports import PoolReport, UnitReport

VERSION_FIELDS = (
    "pose_model", "mask_model", "image_size_px", "gate", "unit_size", "duplicates",
    "duplicate_distance_bits",
)  # fmt: skip
"""What a dataset version says about how it came about; places and machines are not among it."""


@flow(name="rebuild-dataset", log_prints=False)
def rebuild_dataset(params: RebuildParams) -> str:
    """Extract pose and mask priors from captioned photos; return the dataset version's id.

    Units that are committed already are skipped, so a rerun continues a killed run, and a rerun
    over an unchanged source does no model work and publishes the version that is there.
    """
    logger = get_run_logger()
    work = plan_work(params)
    if work.todo:
        extract(params, work)
    else:
        n_units = work.plan.n_units
        logger.info("nothing to do: all %d units are committed, no model was run", n_units)
    version = publish(params, work.plan)
    logger.info(
        "dataset version %s: %d samples in %d shards, %d rejects",
        version.id, version.n_samples, len(version.shards), version.n_rejects,
    )  # fmt: skip
    return version.id


@task(name="plan")
def plan_work(params: RebuildParams) -> Work:
    """List the source, cut it into units, and say which of them are not committed yet."""
    source = resolve_source(params.source, format=params.format, images=params.images)
    units = plan_units(
        source.records(),
        config=PlanConfig(unit_size=params.unit_size),
        salt=extraction_digest(params),
    )
    work = open_work(Root.of(params.root), units, settings=params.model_dump_json(indent=1))
    get_run_logger().info(
        "plan %s: %d records in %d units, %d to extract",
        work.plan.id, work.plan.n_records, work.plan.n_units, len(work.todo),
    )  # fmt: skip
    return work


@task(name="extract")
def extract(params: RebuildParams, work: Work) -> None:
    """Run the units through Ray actors; every finished unit is committed and reported."""
    pool = run_extractors(params, work.units(), root=work.plan.root, n_units=len(work.todo))
    publish_table("extraction", [speed_row(pool)], description="Speed of this run")


def run_extractors(
    params: RebuildParams,
    units: Iterable[Unit],
    *,
    root: Root,
    n_units: int,
    log_root: Root | None = None,
) -> "PoolReport":
    """Run units on a pool of actors, with progress in the UI and times in the run log.

    Args:
        root: where the shards go.
        n_units: how many there are.
        log_root: whose run log gets the times; default the root of the shards.
    """
    from flows.ray_session import ray_session
    from priors.pool import run_units

    progress = Progress("extract", total=n_units, unit="units")
    done, photos = 0, 0

    def on_report(report: "UnitReport") -> None:
        nonlocal done, photos
        done, photos = done + 1, photos + report.n_samples + report.n_rejects
        log.append("unit", **report.as_dict())
        progress.update(done, f"{photos} photos")

    with (
        RunLog(log_root or root, "rebuild") as log,
        ray_session(params.ray_address) as cluster,
        decoders(params) as decode,
    ):
        pool = run_units(
            units,
            make_extractor=ExtractorFactory(params=params, root=root, decode=decode),
            on_report=on_report,
            config=PoolConfig(
                count=min(params.actors or n_units, n_units),
                cpus_each=params.cpus_per_actor,
                gpus_each=cluster.gpus_each(params.gpus_per_actor, device=params.device),
                decode_cpus=params.decode_cpus,
            ),
        )
        log.append("run", **pool.as_dict())
    return pool


def decoders(params: RebuildParams) -> "AbstractContextManager[RemoteDecode | None]":
    """CPUs that decode for the extractors, where the parameters ask for them."""
    from priors.remote_decode import remote_decode

    return remote_decode(params.decode_cpus) if params.decode_cpus else nullcontext()


@task(name="publish")
def publish(params: RebuildParams, plan: Plan) -> DatasetVersion:
    """Publish the plan's shards as a dataset version, with its tables and pictures in the UI."""
    version, new = publish_work(
        plan,
        config=params.model_dump(mode="json", include=set(VERSION_FIELDS)),
        duplicates=params.duplicates,
        distance_bits=params.duplicate_distance_bits,
    )
    publish_table("rejects", reject_rows(version), description=f"Rejects of {version.id}")
    sheet = sample_sheet(version.iter_samples())
    if sheet is not None:
        publish_picture("samples", sheet, description=f"Samples of {version.id}")
    # As a subflow of rebuild-and-train the training follows anyway: no event that starts another.
    if new and flow_run.get_parent_flow_run_id() is None:
        emit_event(
            event="hcp.dataset.published",
            resource={"prefect.resource.id": f"hcp.dataset.{version.id}"},
            payload={"dataset": f"{version.root}@{version.id}", "samples": version.n_samples},
        )
    return version


def speed_row(pool: "PoolReport") -> dict[str, Cell]:
    """The run's speed as one row."""
    stages = {f"{name} s": round(seconds, 2) for name, seconds in pool.stage_seconds.items()}
    return {
        "units": pool.n_units,
        "photos/s": round(pool.images_per_s, 2),
        "models busy": round(pool.busy_fraction, 3),
        "actors": pool.n_actors,
        "replaced": pool.n_deaths,
        "poison": len(pool.poison),
        **stages,
    }


def reject_rows(version: DatasetVersion) -> list[dict[str, Cell]]:
    """One row per reason, most frequent first, and what was kept."""
    rows: list[dict[str, Cell]] = [{"outcome": "kept", "photos": version.n_samples}]
    reasons = sorted(version.rejects_by_reason.items(), key=lambda item: (-item[1], item[0]))
    rows.extend({"outcome": reason, "photos": count} for reason, count in reasons)
    if version.exclusions:
        rows.append(
            {"outcome": "kept, but excluded as duplicates", "photos": len(version.exclusions)}
        )
    return rows
