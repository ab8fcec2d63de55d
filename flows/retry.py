"""The flow retry-failed: rejects that may work now are tried again."""

import json
from dataclasses import replace
from typing import Any

from prefect import get_run_logger, task

from flows.artifacts import publish_table
from flows.extraction import RebuildJob, rebuild_job
from flows.failed_runs import flow
from flows.params import RebuildParams, RetryParams
from flows.rebuild import extract, plan_work, publish, run_extractors
from flows.run_names import rebuild_title, rename, retry_name
from flows.unattended import unattended
from storage.errors import HcpError
from storage.layout import Root
from storage.locations import read_bytes, remove_folder
from storage.plan import Plan
from storage.records import RejectReason
from storage.retries import merge_retry, units_to_retry


@flow(name="retry-failed", flow_run_name=retry_name)
@unattended(writes=lambda params: params.root)
def retry_failed(params: RetryParams) -> str:
    """Try rejects of ``params.reasons`` again; return the id of the version that has what works.

    Only those records are read and shown to the models. What the source gained or lost since is
    extracted first, as by rebuild-dataset. Where nothing changed, the version stays the same.
    """
    rebuild = RebuildParams(**{name: getattr(params, name) for name in RebuildParams.model_fields})
    job = rebuild_job(rebuild)
    work = plan_work(job)
    if work.todo:
        extract(job, work)
    tried, gained = retry(job, work.plan, frozenset(params.reasons))
    version = publish(job, work)
    rename(rebuild_title(params, version.id))
    rows = [{"tried again": tried, "samples now": gained}]
    publish_table("retry", rows, description=f"Rejects tried again for {version.id}")
    get_run_logger().info(
        "dataset version %s: %d of %d rejects are samples now", version.id, gained, tried
    )
    return version.id


@task(name="retry")
def retry(job: RebuildJob, plan: Plan, reasons: frozenset[RejectReason]) -> tuple[int, int]:
    """Run the rejected records as units of their own, and merge what works; (tried, gained)."""
    root = plan.root
    pairs = list(units_to_retry(root, plan.units(), reasons=reasons))
    if not pairs:
        return 0, 0
    scratch = root.retry_work(plan.id)
    again = [retried for _, retried in pairs]
    there = replace(job, extraction=replace(job.extraction, root=scratch))
    pool = run_extractors(there, again, n_units=len(again), log_root=root)
    for unit, retried in pairs:
        merge_retry(root, unit, retried=retried, retry_root=scratch)
    remove_folder(scratch.uri)  # kept where the run breaks off: the next retry goes on from it
    return sum(len(unit.records) for unit in again), pool.n_samples


def last_settings(root: str) -> dict[str, Any]:
    """The parameters of the last rebuild of a root, plain JSON.

    Raises:
        HcpError: there was none, or its file cannot be read.
    """
    uri = Root.of(root).settings
    try:
        settings: Any = json.loads(read_bytes(uri))
        return dict(settings)
    except (OSError, ValueError, TypeError) as error:
        raise HcpError(f"no rebuild of {root} to retry: {uri}: {error}") from error
