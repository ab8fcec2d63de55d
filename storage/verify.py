"""Check a data set on disk against what its markers and versions say."""

from collections.abc import Callable, Iterator, Mapping

import pyarrow as pa

from storage.caches import cached_fingerprints, list_caches, read_card, verify_cached
from storage.errors import CacheError, ShardError, VersionError
from storage.file_facts import FileFacts, files_in
from storage.layout import DATA_SUFFIXES, Place, Root
from storage.locations import stems_in
from storage.markers import ShardInfo, committed, read_shard_info
from storage.plan import open_plan
from storage.shard_reader import digest_of_file, iter_samples, open_rows
from storage.version_list import refuse_newer_root
from storage.versions import list_versions, open_version

OnShard = Callable[[int, int], None]
"""Told how many shards of how many were looked at."""


def verify_root(root: Place, *, on_shard: OnShard | None = None) -> list[str]:
    """Every problem found, one sentence each; an empty list means that all is well.

    Looks at digests and counts of every committed shard, decodes every sample, and checks that
    versions name committed shards, that plans' sums are their shards' sums, and that caches are
    whole and of the shards that are there.

    Raises:
        ContractError: the root was written by a later version of this package.
    """
    place = Root.of(root)
    refuse_newer_root(place)
    problems: list[str] = []
    infos: dict[str, ShardInfo] = {}
    names = sorted(committed(place))
    for done, fingerprint in enumerate(names):
        if on_shard is not None:
            on_shard(done, len(names))
        try:
            infos[fingerprint] = read_shard_info(place, fingerprint)
            problems += _shard_problems(place, infos[fingerprint])
        except ShardError as error:
            problems.append(str(error))
    if on_shard is not None:
        on_shard(len(names), len(names))
    for version_id in list_versions(place):
        problems += _version_problems(place, version_id, infos)
    for plan_id in stems_in(place.plans, ".parquet"):
        problems += _plan_problems(place, plan_id, infos)
    for digest in list_caches(place):
        problems += _cache_problems(place, digest, infos)
    return problems


def verify_listing(root: Place) -> list[str]:
    """What can be seen without reading a sample: :func:`verify_root` in seconds.

    Looks at every marker, at the size of every file that a marker names, and at what the versions
    say; not at digests, samples, plans and caches.

    Raises:
        ContractError: the root was written by a later version of this package.
    """
    place = Root.of(root)
    refuse_newer_root(place)
    files = files_in(place.shards)
    problems: list[str] = []
    infos: dict[str, ShardInfo] = {}
    for fingerprint in sorted(committed(place)):
        try:
            info = infos[fingerprint] = read_shard_info(place, fingerprint)
        except ShardError as error:
            problems.append(str(error))
            continue
        problems += _size_problems(place, info, files)
    for version_id in list_versions(place):
        problems += _version_problems(place, version_id, infos)
    return problems


def _size_problems(root: Root, info: ShardInfo, files: Mapping[str, FileFacts]) -> Iterator[str]:
    for suffix in DATA_SUFFIXES:
        uri, facts = root.shard(info.fingerprint, suffix), files.get(f"{info.fingerprint}.{suffix}")
        if facts is None:
            yield f"{uri}: is not there"
        elif facts.size_bytes != info.sizes_bytes.get(suffix):
            expected = info.sizes_bytes.get(suffix)
            yield f"{uri}: expected {expected} bytes by its marker, got {facts.size_bytes}"


def _shard_problems(root: Root, info: ShardInfo) -> list[str]:
    problems: list[str] = []
    for suffix in DATA_SUFFIXES:
        uri = root.shard(info.fingerprint, suffix)
        try:
            digest = digest_of_file(root, info.fingerprint, suffix)
        except OSError as error:
            problems.append(f"{uri}: cannot be read: {error.strerror or error}")
            continue
        if digest != info.digests[suffix]:
            problems.append(f"{uri}: its sha256 is not the one in the marker")
    if problems:
        return problems
    try:
        n_samples = sum(1 for _ in iter_samples(root, info.fingerprint))
    except ShardError as error:
        return [str(error)]
    rows = {s: _row_count(root, info.fingerprint, s) for s in DATA_SUFFIXES[1:]}
    if (n_samples, *rows.values()) != (info.n_samples, info.n_samples, info.n_rejects):
        problems.append(
            f"shard {info.fingerprint}: marker says {info.n_samples} samples and "
            f"{info.n_rejects} rejects, found {n_samples} in the tar and rows {rows}"
        )
    if sum(info.rejects_by_reason.values()) != info.n_rejects:
        problems.append(f"shard {info.fingerprint}: rejects by reason do not add up")
    return problems


def _row_count(root: Root, fingerprint: str, suffix: str) -> int:
    try:
        return open_rows(root, [fingerprint], suffix).count_rows()
    except (OSError, pa.ArrowException):
        return -1


def _version_problems(root: Root, version_id: str, infos: dict[str, ShardInfo]) -> list[str]:
    try:
        version = open_version(root, version_id)
    except VersionError as error:
        return [str(error)]
    missing = [name for name in version.shards if name not in infos]
    if missing:
        return [f"version {version_id} names {len(missing)} shards not there, first {missing[0]}"]
    sums = (
        sum(infos[name].n_samples for name in version.shards),
        sum(infos[name].n_rejects for name in version.shards),
    )
    if sums != (version.n_samples, version.n_rejects):
        said = (version.n_samples, version.n_rejects)
        return [f"version {version_id}: samples and rejects are {sums}, it says {said}"]
    return []


def _plan_problems(root: Root, plan_id: str, infos: dict[str, ShardInfo]) -> list[str]:
    """Where a plan's unit is committed, its samples and rejects must be its records."""
    problems: list[str] = []
    try:
        for unit in open_plan(root, plan_id).units():
            info = infos.get(unit.fingerprint)
            if info is not None and info.n_samples + info.n_rejects != len(unit.records):
                problems.append(
                    f"unit {unit.fingerprint}: {len(unit.records)} records, but "
                    f"{info.n_samples} samples + {info.n_rejects} rejects"
                )
    except (ShardError, OSError, pa.ArrowException) as error:
        problems.append(f"plan {plan_id}: {error}")
    return problems


def _cache_problems(root: Root, digest: str, infos: dict[str, ShardInfo]) -> list[str]:
    """A cached shard whose source is gone is no problem: it is garbage."""
    try:
        cache = read_card(root, digest)
    except CacheError as error:
        return [str(error)]
    problems: list[str] = []
    for fingerprint in sorted(cached_fingerprints(cache) & infos.keys()):
        try:
            verify_cached(cache, fingerprint)
        except (ShardError, CacheError, OSError) as error:
            problems.append(f"cache {digest}: {error}")
    return problems
