"""The flow rebuild-dataset: captioned photos in, a dataset version out."""

from collections.abc import Iterable
from dataclasses import asdict
from time import perf_counter
from typing import TYPE_CHECKING

from prefect import get_run_logger, task
from prefect.events import emit_event
from prefect.runtime import flow_run

from flows.artifacts import (
    Progress,
    preformatted,
    publish_markdown,
    publish_picture,
    publish_table,
)
from flows.extraction import (
    ExtractorFactory,
    RebuildJob,
    rebuild_job,
    sized,
    version_facts,
    with_room,
)
from flows.failed_runs import flow
from flows.figures import extraction_note, reject_rows, speed_row
from flows.other_settings import other_settings
from flows.params import RebuildParams
from flows.ray_metrics import Metered, UnitMetrics
from flows.run_names import rebuild_name, rebuild_title, rename
from flows.suspension import raise_if_suspended
from flows.unattended import unattended
from hcp.pages.sample_sheet import sample_sheet
from storage.errors import SourceError
from storage.layout import Root
from storage.records import Unit
from storage.runlog import RunLog
from storage.sources.report import Tally
from storage.sources.summary import SourceSummary
from storage.versions import DatasetVersion
from storage.work import Work, publish_work

if TYPE_CHECKING:
    from priors.reports import PoolReport, UnitReport


@flow(name="rebuild-dataset", flow_run_name=rebuild_name)
@unattended(writes=lambda params: params.root)
def rebuild_dataset(params: RebuildParams) -> str:
    """Extract pose and mask priors from captioned photos; return the dataset version's id.

    Units that are committed already are skipped, so a rerun continues a killed run, and a rerun
    over an unchanged source does no model work and publishes the version that is there.
    """
    logger, job = get_run_logger(), rebuild_job(params)
    work = plan_work(job)
    if work.todo:
        extract(job, work)
    else:
        n_units = work.plan.n_units
        logger.info("nothing to do: all %d units are committed, no model was run", n_units)
    version = publish(job, work)
    rename(rebuild_title(params, version.id))
    logger.info(
        "dataset version %s: %d samples in %d shards, %d rejects",
        version.id, version.n_samples, len(version.shards), version.n_rejects,
    )  # fmt: skip
    return version.id


@task(name="plan")
def plan_work(job: RebuildJob) -> Work:
    """List the source, cut it into units, and say which of them are not committed yet."""
    from hcp.tokens import TOKENS_VERSION
    from priors.planning import plan_extraction

    if other := other_settings(job.params):
        get_run_logger().warning("%s", other)
    tally = Tally(job.extraction.source, job.params.source, job.params.images)
    try:
        work = plan_extraction(
            job.extraction,
            tally.records(),
            unit_size=job.params.unit_size,
            words_version=TOKENS_VERSION,
            settings=job.params.model_dump_json(indent=1),  # for retry-failed
        )
    except SourceError as error:
        show_source(tally.summary(error=str(error)))  # what was left out may be what was meant
        raise
    show_source(tally.summary())
    get_run_logger().info(
        "plan %s: %d records in %d units, %d to extract",
        work.plan.id, work.plan.n_records, work.plan.n_units, len(work.todo),
    )  # fmt: skip
    return work


def show_source(summary: SourceSummary) -> None:
    """What the source was taken for, and what was left out of it, in the UI and in the log."""
    lines = list(summary.lines())
    publish_markdown("source", preformatted(lines), description=f"Source {summary.root}")
    log = get_run_logger()
    for line in lines:
        log.info("%s", line)


@task(name="extract")
def extract(job: RebuildJob, work: Work) -> None:
    """Run the units through Ray actors; every finished unit is committed and reported."""
    pool = run_extractors(job, work.units(), n_units=len(work.todo))
    publish_table("extraction", [speed_row(pool)], description="Speed of this run")


def run_extractors(
    job: RebuildJob, units: Iterable[Unit], *, n_units: int, log_root: Root | None = None
) -> "PoolReport":
    """Run units on a pool of actors, with progress in the UI.

    Times go to the run log of ``log_root``, by default the root of the shards.
    """
    from flows.ray_session import ray_session
    from priors.pool import run_units
    from priors.remote_decode import remote_decode
    from priors.reports import ReportSum

    seen, warn, meter = ReportSum(), get_run_logger().warning, UnitMetrics()

    def on_report(report: "UnitReport") -> None:
        seen.add(report)
        meter(report)
        log.append("unit", **asdict(report))
        progress.update(seen.n_units, extraction_note(seen, perf_counter() - seen.started))

    with (
        ray_session(job.params.ray_address) as cluster,
        remote_decode(job.params.workers.decode_cpus) as decode,
        meter,
        RunLog(log_root or job.extraction.root, "rebuild") as log,
        Progress("extract", total=n_units, unit="units") as progress,
    ):
        say = get_run_logger().info
        cluster = with_room(cluster, job.params.workers, job.params, say=say)
        extraction, config, note = sized(job, cluster, n_units=n_units)
        if note is not None:
            warn(note)
        pool = run_units(
            units,
            make_extractor=Metered(make=ExtractorFactory(extraction=extraction, decode=decode)),
            on_report=on_report,
            config=config,
            on_note=warn,
            while_waiting=raise_if_suspended,
        )
        log.append("run", **asdict(pool))
        meter.ended(pool)
    return pool


@task(name="publish")
def publish(job: RebuildJob, work: Work) -> DatasetVersion:
    """Publish the plan's shards as a dataset version, with its tables and pictures in the UI."""
    params, unlisted = job.params, job.extraction.source.unlisted
    facts = version_facts(params, long_captions=work.long_captions)
    facts |= {"unlisted": list(unlisted)} if unlisted else {}
    version, is_new = publish_work(
        work,
        config=facts,
        duplicates=params.duplicates,
        distance_bits=params.duplicate_distance_bits,
    )
    publish_table("rejects", reject_rows(version), description=f"Rejects of {version.id}")
    sheet = sample_sheet(version.iter_samples())
    if sheet is not None:
        publish_picture("samples", sheet, description=f"Samples of {version.id}")
    # As a subflow of rebuild-and-train the training follows anyway: no event that starts another.
    if is_new and flow_run.get_parent_flow_run_id() is None:
        emit_event(
            event="hcp.dataset.published",
            resource={"prefect.resource.id": f"hcp.dataset.{version.id}"},
            payload={"dataset": f"{version.root}@{version.id}", "samples": version.n_samples},
        )
    return version
