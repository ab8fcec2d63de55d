"""Units tried again: rejects that became samples give a new shard that stands in for the old one.

Shards never change. A retry writes another shard (the old samples, and the records that work now)
under a fingerprint of its own, and ``retries/<planned unit>.json`` says which shard stands in for
the planned one; dataset versions published from then on name that shard.
"""

import json
from collections.abc import Iterable, Iterator, Set
from heapq import merge
from itertools import chain

from storage.canonical import canonical_json, digest_of
from storage.errors import ShardError
from storage.layout import Root
from storage.locations import file_size, read_bytes, stems_in, write_atomic
from storage.markers import is_committed, read_shard_info
from storage.plan import make_unit
from storage.records import RejectReason, Unit
from storage.shard_reader import iter_samples, read_rejects
from storage.shards import commit_unit

TRANSIENT: tuple[RejectReason, ...] = ("unreadable", "poison")
"""Reasons that may go away by themselves: a store that was down, a worker short of memory."""


def current_shards(root: Root, fingerprints: Iterable[str]) -> Iterator[str]:
    """For each planned unit the shard that stands for it: its own, or that of its last retry."""
    retried = retried_units(root)
    for fingerprint in fingerprints:
        yield _stand_in(root, fingerprint) if fingerprint in retried else fingerprint


def units_to_retry(
    root: Root, units: Iterable[Unit], *, reasons: Set[RejectReason]
) -> Iterator[tuple[Unit, Unit]]:
    """Committed units with rejects of these reasons, each with the unit of those records alone.

    The second unit is for an extractor whose shards go elsewhere: its result is merged by
    :func:`merge_retry`.
    """
    retried = retried_units(root)
    for unit in units:
        shard = unit.fingerprint
        if shard in retried:
            shard = _stand_in(root, shard)
        if not is_committed(root, shard):
            continue
        if not reasons & set(read_shard_info(root, shard).rejects_by_reason):
            continue
        wanted = {r.key for r in read_rejects(root, shard) if r.reason in reasons}
        records = [record for record in unit.records if record.key in wanted]
        yield unit, make_unit(records, salt=f"retry of {shard}")


def merge_retry(root: Root, unit: Unit, *, retried: Unit, retry_root: Root) -> str | None:
    """Commit the shard of ``unit`` with the samples that its retry gave, and let it stand in.

    Args:
        root: the data set's root.
        unit: as planned.
        retried: the unit of the records that were tried again, committed in ``retry_root``.
        retry_root: where the retry's own shards are.

    Returns:
        The new shard's fingerprint; None where no record became a sample.

    Raises:
        ShardError: a shard is missing or broken, or the new one cannot be written.
    """
    if not read_shard_info(retry_root, retried.fingerprint).n_samples:
        return None
    noted = file_size(root.retry_note(unit.fingerprint)) is not None
    old = _stand_in(root, unit.fingerprint) if noted else unit.fingerprint
    again = read_rejects(retry_root, retried.fingerprint)
    tried = {record.key for record in retried.records}
    gained = sorted(tried - {reject.key for reject in again})
    place = {record.key: position for position, record in enumerate(unit.records)}
    # What tells this shard from the old one is which records became samples, and how others ended.
    facts = [old, gained, sorted([r.key, r.reason, r.detail] for r in again)]
    new = Unit(fingerprint=digest_of(["retry", facts]), records=unit.records)
    kept = [reject for reject in read_rejects(root, old) if reject.key not in tried]
    commit_unit(
        root,
        new,
        outcomes=chain(
            kept + again,
            merge(
                iter_samples(root, old),
                iter_samples(retry_root, retried.fingerprint),
                key=lambda sample: place[sample.key],
            ),
        ),
    )
    content = canonical_json({"unit": unit.fingerprint, "shard": new.fingerprint})
    write_atomic(root.retry_note(unit.fingerprint), content.encode())
    return new.fingerprint


def retried_units(root: Root) -> set[str]:
    """The planned units that a note speaks of."""
    return set(stems_in(root.retries, ".json"))


def noted_shard(root: Root, fingerprint: str) -> str:
    """The shard that a unit's note names, there or not.

    Raises:
        ShardError: the note cannot be read.
    """
    uri = root.retry_note(fingerprint)
    try:
        return str(json.loads(read_bytes(uri))["shard"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ShardError(f"{uri}: not the note of a retry: {error}") from error


def _stand_in(root: Root, fingerprint: str) -> str:
    shard = noted_shard(root, fingerprint)
    # A shard that is gone (hcp gc) stands for nothing any more.
    return shard if is_committed(root, shard) else fingerprint
