"""The flow retry-failed: rejects that may work now are tried again."""

import json
from typing import Any

from prefect import flow, get_run_logger, task

from flows.artifacts import publish_table
from flows.params import RebuildParams, RetryParams
from flows.rebuild import SETTINGS_FILE, extract, plan_work, publish, run_extractors
from storage.errors import HcpError
from storage.locations import join, normalised, read_bytes, remove_folder
from storage.plan import Plan
from storage.retries import merge_retry, units_to_retry


@flow(name="retry-failed", log_prints=False)
def retry_failed(params: RetryParams) -> str:
    """Try rejects of ``params.reasons`` again; return the id of the version that has what works.

    Only those records are read and shown to the models. What the source gained or lost since is
    extracted first, as by rebuild-dataset. Where nothing changed, the version stays the same.
    """
    rebuild = RebuildParams(**{name: getattr(params, name) for name in RebuildParams.model_fields})
    plan, todo = plan_work(rebuild)
    if todo:
        extract(rebuild, plan, todo)
    tried, gained = retry(params, rebuild, plan)
    version = publish(rebuild, plan)
    publish_table(
        "retry",
        [{"tried again": tried, "samples now": gained}],
        description=f"Rejects tried again for {version.id}",
    )
    get_run_logger().info(
        "dataset version %s: %d of %d rejects are samples now", version.id, gained, tried
    )
    return version.id


@task(name="retry")
def retry(params: RetryParams, rebuild: RebuildParams, plan: Plan) -> tuple[int, int]:
    """Run the rejected records as units of their own, and merge what works; (tried, gained)."""
    pairs = list(units_to_retry(params.root, plan.units(), reasons=set(params.reasons)))
    if not pairs:
        return 0, 0
    scratch = join(params.root, "retries", f"work-{plan.id}")
    again = [retried for _, retried in pairs]
    elsewhere = rebuild.model_copy(update={"root": scratch})
    pool = run_extractors(elsewhere, again, n_units=len(again), log_root=params.root)
    for unit, retried in pairs:
        merge_retry(params.root, unit, retried=retried, retry_root=scratch)
    remove_folder(scratch)  # kept where the run breaks off: the next retry goes on from it
    return sum(len(unit.records) for unit in again), pool.n_samples


def last_settings(root: str) -> dict[str, Any]:
    """The parameters of the last rebuild of a root, plain JSON.

    Raises:
        HcpError: there was none, or its file cannot be read.
    """
    uri = join(normalised(root), "runs", SETTINGS_FILE)
    try:
        settings: Any = json.loads(read_bytes(uri))
        return dict(settings)
    except (OSError, ValueError, TypeError) as error:
        raise HcpError(f"no rebuild of {root} to retry: {uri}: {error}") from error
