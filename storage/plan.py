"""Cut a listing into units by content, and keep the plan as a streamed parquet file."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from storage.canonical import canonical_json
from storage.errors import ShardError
from storage.layout import Root
from storage.locations import exists, local_copy, staging
from storage.records import CONTRACT_VERSION, SourceRecord, Unit

_ROW_GROUP_RECORDS = 20_000
_FOOTER = b"hcp.plan"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanConfig:
    """How large units are."""

    unit_size: int = 1000  # mean number of records; the least is a quarter, the most three times it

    def __post_init__(self) -> None:
        if self.unit_size < 1:
            raise ValueError(f"PlanConfig.unit_size must be >= 1, got {self.unit_size}")

    @property
    def min_size(self) -> int:
        """A unit is not cut before it has so many records (but where its tar ends)."""
        return max(1, self.unit_size // 4)

    @property
    def max_size(self) -> int:
        """A unit is always cut here."""
        return 3 * self.unit_size

    @property
    def cut_below(self) -> int:
        """A record whose 64-bit cut hash is below this ends its unit."""
        return 2**64 // (self.unit_size - self.min_size + 1)


Salt = str | Callable[[Sequence[SourceRecord]], str]
"""Digest of all that shapes a unit's shard besides its records, or what gives it for them."""


def plan_units(
    records: Iterable[SourceRecord], *, config: PlanConfig, salt: Salt
) -> Iterator[Unit]:
    """Cut records, in the order given, into units (content-defined chunking).

    Where a unit ends depends on the keys near its end only, so that adding or removing a photo
    changes the unit that holds it and, seldom, its neighbours. Units never span two tars or two
    tables (what stands before ``#`` in the URI).

    Args:
        records: the listing, in path order.
        config: unit sizes.
        salt: of extractor and weights.
    """
    unit: list[SourceRecord] = []
    for record in records:
        if unit and _container(unit[-1]) != _container(record):
            yield make_unit(unit, salt=salt)
            unit = []
        unit.append(record)
        cut = len(unit) >= config.min_size and _cut_hash(record.key) < config.cut_below
        if cut or len(unit) >= config.max_size:
            yield make_unit(unit, salt=salt)
            unit = []
    if unit:
        yield make_unit(unit, salt=salt)


def make_unit(records: Iterable[SourceRecord], *, salt: Salt) -> Unit:
    """A unit whose fingerprint follows from its records, the salt and the contract version.

    Attributes count too: they stand in the shard, and one fingerprint means the same bytes.
    """
    kept = tuple(records)
    known = salt if isinstance(salt, str) else salt(kept)
    digest = hashlib.sha256(canonical_json([CONTRACT_VERSION, known]).encode())
    for record in kept:
        facts = [record.key, record.caption, record.attributes, record.content_tag]
        digest.update(canonical_json(facts).encode() + b"\n")
    return Unit(fingerprint=digest.hexdigest()[:32], records=kept)


def _container(record: SourceRecord) -> str:
    place, mark, _ = record.uri.partition("#")
    return place if mark else ""


def _cut_hash(key: str) -> int:
    # Not the key itself: splits and other samplings by key must not follow the cuts.
    return int.from_bytes(hashlib.blake2b(b"cut:" + key.encode(), digest_size=8).digest(), "big")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A plan on disk: one row per unit, read in streams."""

    root: Root
    id: str
    n_units: int
    n_records: int

    @property
    def uri(self) -> str:
        """Where the plan is stored."""
        return self.root.plan(self.id)

    def units(self) -> Iterator[Unit]:
        """The units in order; memory does not grow with their number."""
        for row in self._rows(None):
            yield Unit(
                fingerprint=row["fingerprint"],
                records=tuple(
                    SourceRecord(**record | {"attributes": json.loads(record["attributes"])})
                    for record in row["records"]
                ),
            )

    def fingerprints(self) -> Iterator[str]:
        """The units' fingerprints in order, without their records."""
        for row in self._rows(["fingerprint"]):
            yield row["fingerprint"]

    def _rows(self, columns: list[str] | None) -> Iterator[Any]:
        import pyarrow.parquet as pq

        with local_copy(self.uri) as path, pq.ParquetFile(path) as file:
            for batch in file.iter_batches(1 if columns is None else 1024, columns=columns):
                yield from batch.to_pylist()


def write_plan(root: Root, units: Iterable[Unit]) -> Plan:
    """Store a plan as ``plans/<id>.parquet``; its id follows from the units' fingerprints.

    Raises:
        ShardError: the plan cannot be written; nothing is left behind.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    digest = hashlib.sha256()
    n_units = n_records = 0
    try:
        with staging(root.plans) as stage:
            path = stage.path("plan")
            with pq.ParquetWriter(path, _schema(), compression="zstd") as writer:
                for rows in _batches(units):
                    for row in rows:
                        digest.update(row["fingerprint"].encode())
                        n_units += 1
                        n_records += len(row["records"])
                    writer.write_table(pa.Table.from_pylist(rows, schema=_schema()))
                facts = {"n_units": n_units, "n_records": n_records}
                writer.add_key_value_metadata({_FOOTER.decode(): canonical_json(facts)})
            stage.flush("plan")
            name = f"{digest.hexdigest()[:16]}.parquet"
            path.rename(stage.path(name))
            stage.publish(name)
            stage.sync_directory()
    except OSError as error:
        raise ShardError(
            f"cannot write a plan in {root.plans}: {error.strerror or error}"
        ) from error
    plan_id = name.removesuffix(".parquet")
    return Plan(root=root, id=plan_id, n_units=n_units, n_records=n_records)


def open_plan(root: Root, plan_id: str) -> Plan:
    """A plan that was written before.

    Raises:
        ShardError: there is none of that id, or it cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    uri = root.plan(plan_id)
    if not exists(uri):
        raise ShardError(f"no plan {plan_id} in {root.plans}")
    try:
        with local_copy(uri) as path, pq.ParquetFile(path) as file:
            facts = json.loads(file.metadata.metadata[_FOOTER])
            return Plan(
                root=root, id=plan_id, n_units=facts["n_units"], n_records=facts["n_records"]
            )
    except (OSError, KeyError, ValueError, TypeError, pa.ArrowException) as error:
        raise ShardError(f"{uri}: not a plan: {error}") from error


def _batches(units: Iterable[Unit]) -> Iterator[list[dict[str, Any]]]:
    rows: list[dict[str, Any]] = []
    waiting = 0
    for unit in units:
        rows.append({"fingerprint": unit.fingerprint, "records": [_row(r) for r in unit.records]})
        waiting += len(unit.records)
        if waiting >= _ROW_GROUP_RECORDS:
            yield rows
            rows, waiting = [], 0
    if rows:
        yield rows


def _row(record: SourceRecord) -> dict[str, object]:
    return {
        "key": record.key,
        "uri": record.uri,
        "caption": record.caption,
        "attributes": canonical_json(record.attributes),
        "content_tag": record.content_tag,
    }


def _schema() -> Any:
    import pyarrow as pa

    names = ("key", "uri", "caption", "attributes", "content_tag")
    record = pa.struct([pa.field(n, pa.string(), nullable=n == "caption") for n in names])
    return pa.schema([("fingerprint", pa.string()), ("records", pa.list_(record))])
