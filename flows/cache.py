"""The flow cache-dataset: a dataset version and a base in, its latents and text embeddings out."""

from typing import TYPE_CHECKING

from prefect import get_run_logger, task

from flows.artifacts import Progress, publish_table
from flows.caching import CacheJob, CacheReport, shard_units
from flows.extraction import pool_of, with_room
from flows.failed_runs import flow
from flows.names import model_path, split_dataset
from flows.outcomes import CacheOutcome
from flows.params import CacheParams
from flows.ray_metrics import Metered, UnitMetrics
from flows.run_names import cache_name, cache_title, rename
from flows.suspension import raise_if_suspended
from flows.unattended import unattended
from storage.caches import Cache, is_cached, read_cached_shard
from storage.errors import CacheError
from storage.versions import DatasetVersion, open_version

if TYPE_CHECKING:
    from priors.reports import UnitReport

_NAMED = 20  # bad samples in the table


@flow(name="cache-dataset", flow_run_name=cache_name)
@unattended(writes=lambda params: split_dataset(params.dataset)[0])
def cache_dataset(params: CacheParams) -> CacheOutcome:
    """Encode a dataset version for a base, so that training needs neither VAE nor text encoder.

    Shards that are cached already are skipped: a rerun continues a killed run, and the next
    version costs its new shards.

    Raises:
        HcpError: the dataset or the base cannot be used, the cache cannot be written, or shards
            could not be read; the others are cached then.
    """
    logger, version = get_run_logger(), open_version(*split_dataset(params.dataset))
    rename(cache_title(params, f"{version.root}@{version.id}"))
    job = plan_cache(params, version)
    todo = [name for name in version.shards if not is_cached(job.cache, name)]
    logger.info(
        "cache %s of dataset version %s: %d shards, %d to encode",
        job.cache.digest, version.id, len(version.shards), len(todo),
    )  # fmt: skip
    failed = encode_shards(params, job, todo) if todo else {}
    outcome = summarise(job, version, failed)
    if failed:
        name, reason = next(iter(failed.items()))
        raise CacheError(
            f"cache {job.cache.digest}: {len(failed)} of {len(version.shards)} shards could not "
            f"be read, first {name}: {reason}; the others are cached"
        )
    logger.info("cache %s: %d samples, %d bytes", outcome.cache, outcome.samples, outcome.bytes)
    return outcome


@task(name="plan")
def plan_cache(params: CacheParams, version: DatasetVersion) -> CacheJob:
    """Which cache it is: the base's files are read, no model is loaded."""
    from hcp.training.cache import base_parts, cache_settings, settled

    base = model_path(params.base, "base")
    config = settled(params.training, base)
    settings = cache_settings(config, base_parts(base))
    return CacheJob(
        cache=Cache(root=version.root, settings=settings, facts={"base": params.base}),
        config=config,
        base=base,
        device=params.device,
    )


@task(name="encode")
def encode_shards(params: CacheParams, job: CacheJob, todo: list[str]) -> dict[str, str]:
    """Run shards through Ray actors; the reasons of those that could not be read."""
    from flows.ray_session import ray_session
    from priors.pool import run_units

    done, photos, failed, meter = 0, 0, dict[str, str](), UnitMetrics()

    def on_report(report: "UnitReport") -> None:
        nonlocal done, photos
        done, photos = done + 1, photos + report.n_samples
        meter(report)
        if isinstance(report, CacheReport) and report.error is not None:
            failed[report.fingerprint] = report.error
        progress.update(done, f"{photos} photos")

    with (
        ray_session(params.ray_address) as cluster,
        meter,
        Progress("cache", total=len(todo), unit="shards") as progress,
    ):
        say, workers = get_run_logger().info, params.workers
        cluster = with_room(cluster, workers, params, say=say)
        pool = run_units(
            shard_units(job.cache.root, todo),
            make_extractor=Metered(make=job),
            on_report=on_report,
            config=pool_of(workers, cluster, n_units=len(todo), device=params.device),
            on_note=get_run_logger().warning,
            while_waiting=raise_if_suspended,
        )
        meter.ended(pool)
    row = {
        "shards": pool.n_units,
        "photos/s": round(pool.images_per_s, 2),
        "actors": pool.n_actors,
        "replaced": pool.n_deaths,
        "not encoded": pool.n_rejects,
    }
    publish_table("cache", [row], description="Speed of this run")
    return failed


@task(name="summarise")
def summarise(job: CacheJob, version: DatasetVersion, failed: dict[str, str]) -> CacheOutcome:
    """What the cache holds of the version; a table names the samples that it does not."""
    shards = [read_cached_shard(job.cache, n) for n in version.shards if n not in failed]
    bad = [(key, reason) for shard in shards for key, reason in shard.bad.items()]
    if bad:
        rows = [{"sample": key, "reason": reason} for key, reason in bad[:_NAMED]]
        publish_table("not-encoded", rows, description=f"{len(bad)} samples without latents")
    return CacheOutcome(
        cache=job.cache.uri,
        dataset=f"{version.root}@{version.id}",
        shards=len(shards),
        samples=sum(shard.n_samples for shard in shards) - len(bad),
        bad=len(bad),
        bytes=sum(shard.size_bytes for shard in shards),
    )
