"""The marker of a unit's shard: the JSON that is written last and makes it count."""

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from storage.contract import refuse_newer
from storage.errors import ShardError
from storage.layout import MARKER_SUFFIX, Root
from storage.locations import file_size, is_local, read_bytes, stems_in
from storage.records import CONTRACT_VERSION

_AT_A_TIME = 32
"""Markers that are asked of an object store at a time: each is a request of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardInfo:
    """What the marker of a committed shard says."""

    fingerprint: str
    n_samples: int
    n_rejects: int
    rejects_by_reason: Mapping[str, int]
    digests: Mapping[str, str]  # sha256 of each file, by suffix
    sizes_bytes: Mapping[str, int]  # by suffix


def is_committed(root: Root, fingerprint: str) -> bool:
    """Whether the unit's marker is there; it is written last."""
    return file_size(root.shard(fingerprint, MARKER_SUFFIX)) is not None


def committed(root: Root) -> set[str]:
    """Fingerprints of all committed units."""
    return set(stems_in(root.shards, f".{MARKER_SUFFIX}"))


def read_shard_info(root: Root, fingerprint: str) -> ShardInfo:
    """What the marker says.

    Raises:
        ShardError: the unit is not committed, or its marker is broken.
    """
    uri = root.shard(fingerprint, MARKER_SUFFIX)
    try:
        fields = json.loads(read_bytes(uri))
        contract = fields.pop("contract")
        refuse_newer(contract, where=uri)
        info = ShardInfo(**fields)
    except FileNotFoundError as error:
        raise ShardError(f"unit {fingerprint} is not committed: no {uri}") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ShardError(f"{uri}: not a shard's marker: {error}") from error
    if contract != CONTRACT_VERSION or info.fingerprint != fingerprint:
        raise ShardError(
            f"{uri}: expected contract {CONTRACT_VERSION} and fingerprint {fingerprint}, "
            f"got {contract} and {info.fingerprint}"
        )
    return info


def read_shard_infos(root: Root, fingerprints: Sequence[str]) -> Iterator[ShardInfo]:
    """What the markers say, in order; those of an object store come many at a time.

    Raises:
        ShardError: as :func:`read_shard_info`, when its turn comes.
    """
    read = partial(read_shard_info, root)
    if is_local(root.uri):
        yield from map(read, fingerprints)
        return
    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        for start in range(0, len(fingerprints), _AT_A_TIME):
            yield from pool.map(read, fingerprints[start : start + _AT_A_TIME])
