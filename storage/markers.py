"""Where a unit's shard lies, and its marker: the JSON that is written last and makes it count."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from storage.errors import ShardError
from storage.locations import file_size, join, names_in, read_bytes
from storage.records import CONTRACT_VERSION

DATA_SUFFIXES = ("tar", "parquet", "rejects.parquet")
MARKER_SUFFIX = "json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardInfo:
    """What the marker of a committed shard says."""

    fingerprint: str
    n_samples: int
    n_rejects: int
    rejects_by_reason: Mapping[str, int]
    digests: Mapping[str, str]  # sha256 of each file, by suffix
    sizes_bytes: Mapping[str, int]  # by suffix


def shard_directory(root: str) -> str:
    """Where the shards of a data set lie."""
    return join(root, "shards")


def shard_uri(root: str, fingerprint: str, suffix: str) -> str:
    """The location of one file of a shard: tar, parquet, rejects.parquet or json."""
    return join(shard_directory(root), f"{fingerprint}.{suffix}")


def is_committed(root: str, fingerprint: str) -> bool:
    """Whether the unit's marker is there; it is written last."""
    return file_size(shard_uri(root, fingerprint, MARKER_SUFFIX)) is not None


def committed(root: str) -> set[str]:
    """Fingerprints of all committed units."""
    ending = f".{MARKER_SUFFIX}"
    names = names_in(shard_directory(root))
    return {name.removesuffix(ending) for name in names if name.endswith(ending) and name[0] != "."}


def read_shard_info(root: str, fingerprint: str) -> ShardInfo:
    """What the marker says.

    Raises:
        ShardError: the unit is not committed, or its marker is broken.
    """
    uri = shard_uri(root, fingerprint, MARKER_SUFFIX)
    try:
        fields = json.loads(read_bytes(uri))
        contract = fields.pop("contract")
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
