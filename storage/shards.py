"""Shards: one unit's samples and rejects, committed whole or not at all."""

import hashlib
import io
import tarfile
from collections import Counter
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from storage.canonical import canonical_json
from storage.codec import encode_sample, reject_schema, sample_row, sample_schema
from storage.errors import ShardError
from storage.layout import DATA_SUFFIXES, MARKER_SUFFIX, Root
from storage.locations import Staging, file_size, remove, staging
from storage.markers import ShardInfo, is_committed, read_shard_info
from storage.records import CONTRACT_VERSION, Reject, Sample, Unit


def commit_unit(root: Root, unit: Unit, *, outcomes: Iterable[Sample | Reject]) -> ShardInfo:
    """Write a unit's shard: all files under temporary names first, the marker last.

    Args:
        root: of the data set.
        unit: the records that the outcomes came from.
        outcomes: one of each record: a sequence in any order, or an iterator (streamed) with the
            samples in the unit's order, and the rejects wherever they were found.

    Raises:
        ShardError: samples and rejects are not exactly the unit's records, or the shard cannot
            be written; either way no file of this attempt is left.
    """
    place = {record.key: position for position, record in enumerate(unit.records)}

    def position(outcome: Sample | Reject) -> int:
        return place.get(outcome.key, -1)

    if isinstance(outcomes, Sequence):
        outcomes = sorted(outcomes, key=position)
    with _naming(root, unit.fingerprint), staging(root.shards) as stage:
        names = {s: f"{unit.fingerprint}.{s}" for s in (*DATA_SUFFIXES, MARKER_SUFFIX)}
        rows, found = _write_tar(stage, names["tar"], outcomes, place)
        rejects = sorted(found, key=position)
        _check_sums(unit, [row["key"] for row in rows], [reject.key for reject in rejects])
        _write_table(stage, names["parquet"], rows, sample_schema())
        refusals = [asdict(reject) for reject in rejects]
        _write_table(stage, names["rejects.parquet"], refusals, reject_schema())
        info = _describe(stage, unit.fingerprint, len(rows), rejects)
        marker = {"contract": CONTRACT_VERSION} | asdict(info)
        stage.path(names[MARKER_SUFFIX]).write_text(canonical_json(marker), encoding="utf-8")
        stage.flush(names[MARKER_SUFFIX])
        if _is_whole(root, unit.fingerprint):
            return read_shard_info(root, unit.fingerprint)
        _publish(root, stage, names)
    return info


@contextmanager
def _naming(root: Root, fingerprint: str) -> Generator[None, None, None]:
    try:
        yield
    except OSError as error:
        raise ShardError(
            f"cannot write shard {fingerprint} in {root.shards}: "
            f"{error.strerror or error}; nothing of it was kept, run again when this is solved"
        ) from error


def _write_tar(
    stage: Staging, name: str, outcomes: Iterable[Sample | Reject], place: Mapping[str, int]
) -> tuple[list[dict[str, Any]], list[Reject]]:
    """Write the samples as they come; their rows, and the rejects that came among them."""
    rows: list[dict[str, Any]] = []
    rejects: list[Reject] = []
    last = -1
    # Unbuffered writes of whole members; USTAR because plain headers carry no time of their own.
    with tarfile.open(stage.path(name), "w", format=tarfile.USTAR_FORMAT) as tar:
        for sample in outcomes:
            if isinstance(sample, Reject):
                rejects.append(sample)
                continue
            position = place.get(sample.key, -1)
            if position <= last:
                known = "twice or out of the unit's order" if position >= 0 else "not of this unit"
                raise ShardError(f"sample {sample.key} ({sample.uri}) is {known}")
            last = position
            for suffix, data in encode_sample(sample).items():
                member = tarfile.TarInfo(f"{sample.key}.{suffix}")  # mtime, uid, gid are 0
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
            rows.append(sample_row(sample))
    stage.flush(name)
    return rows, rejects


def _write_table(stage: Staging, name: str, rows: list[dict[str, Any]], schema: Any) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pylist(rows, schema=schema)
    pq.write_table(table, stage.path(name), compression="zstd")
    stage.flush(name)


def _check_sums(unit: Unit, sample_keys: list[str], reject_keys: list[str]) -> None:
    expected = Counter(record.key for record in unit.records)
    got = Counter(sample_keys + reject_keys)
    if expected == got and len(expected) == len(unit.records):
        return
    missing = sorted((expected - got).elements())[:3]
    extra = sorted((got - expected).elements())[:3]
    raise ShardError(
        f"unit {unit.fingerprint}: samples + rejects must be its {len(unit.records)} records "
        f"({len(expected)} keys), got {len(sample_keys)} + {len(reject_keys)}; "
        f"missing {missing}, too many {extra}"
    )


def _describe(
    stage: Staging, fingerprint: str, n_samples: int, rejects: Sequence[Reject]
) -> ShardInfo:
    digests: dict[str, str] = {}
    sizes: dict[str, int] = {}
    for suffix in DATA_SUFFIXES:
        with stage.path(f"{fingerprint}.{suffix}").open("rb") as file:
            digests[suffix] = hashlib.file_digest(file, "sha256").hexdigest()
            sizes[suffix] = file.tell()
    return ShardInfo(
        fingerprint=fingerprint,
        n_samples=n_samples,
        n_rejects=len(rejects),
        rejects_by_reason=dict(sorted(Counter(reject.reason for reject in rejects).items())),
        digests=digests,
        sizes_bytes=sizes,
    )


def _publish(root: Root, stage: Staging, names: Mapping[str, str]) -> None:
    try:
        for suffix in DATA_SUFFIXES:
            stage.publish(names[suffix])
        stage.sync_directory()
        stage.publish(names[MARKER_SUFFIX])
        stage.sync_directory()
    except BaseException:
        # Without a marker the files are invisible, but they would take room for nothing. With
        # one, another writer has committed the same unit meanwhile: these are its files now.
        fingerprint = names[MARKER_SUFFIX].removesuffix(f".{MARKER_SUFFIX}")
        if not is_committed(root, fingerprint):
            for suffix in DATA_SUFFIXES:
                remove(root.shard(fingerprint, suffix))
        raise


def _is_whole(root: Root, fingerprint: str) -> bool:
    """Whether the unit is committed and its files have the sizes that the marker says."""
    try:
        info = read_shard_info(root, fingerprint)
    except ShardError:
        return False
    return all(
        file_size(root.shard(fingerprint, suffix)) == size
        for suffix, size in info.sizes_bytes.items()
    )
