"""Dataset versions: immutable lists of committed shards, named by their content."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from storage.canonical import digest_of
from storage.codec import split_of
from storage.contract import refuse_newer
from storage.errors import ShardError, VersionError
from storage.extras import explained_imports
from storage.layout import Place, Root
from storage.locations import read_bytes, stems_in, write_atomic
from storage.markers import ShardInfo, read_shard_infos
from storage.records import CONTRACT_VERSION, Sample, Split
from storage.shard_reader import open_rows, open_shard
from storage.statistics import ShardCount, summarise

_ID = re.compile(r"[0-9a-f]{16}")
_PLAIN_FIELDS = ("n_samples", "n_rejects", "rejects_by_reason", "config", "statistics")


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetVersion:
    """One published version; loaders honour its exclusions."""

    id: str  # 16 hex digits of a hash of everything below but the root
    root: Root
    shards: tuple[str, ...]  # fingerprints, in order
    counts: tuple[ShardCount, ...]  # usable samples per shard and split, exclusions taken off
    n_samples: int  # in the shards, exclusions included: n_samples + n_rejects = source records
    n_rejects: int
    rejects_by_reason: Mapping[str, int]
    config: Mapping[str, Any]
    statistics: Mapping[str, Any]
    exclusions: frozenset[str] = frozenset()  # keys of samples that loaders leave out
    models: Mapping[str, str] = field(default_factory=dict[str, str])
    """Digests of the models that made the shards, by what they made: ``pose``, ``masks``.

    Empty where the version was published before they were written down: not known.
    """

    @property
    def samples(self) -> Any:
        """The samples' facts as one ``pyarrow.dataset``, without the excluded."""
        with explained_imports():
            import pyarrow.dataset as ds

        rows = open_rows(self.root, self.shards, "parquet")
        if not self.exclusions:
            return rows
        return rows.filter(~ds.field("key").isin(sorted(self.exclusions)))

    @property
    def rejects(self) -> Any:
        """The rejects as one ``pyarrow.dataset``: key, uri, reason, detail."""
        return open_rows(self.root, self.shards, "rejects.parquet")

    def iter_samples(self, split: Split | None = None) -> Iterator[Sample]:
        """Full samples in shard order, of one split or of both; others are not decoded.

        Raises:
            ShardError: a shard is missing or broken.
        """
        for fingerprint in self.shards:
            with open_shard(self.root, fingerprint) as shard:
                for key, members in shard:
                    if key not in self.exclusions and split in (None, split_of(key)):
                        yield shard.decode(key, members)


def publish_version(
    root: Place,
    fingerprints: Sequence[str],
    *,
    config: Mapping[str, object],
    exclusions: Sequence[str] = (),
    models: Mapping[str, str] | None = None,
) -> DatasetVersion:
    """Publish a version and point ``LATEST`` at it; the same content gives the same id and file.

    Args:
        root: the data set's root.
        fingerprints: committed units, in the order that the version keeps.
        config: how the shards came about, plain JSON.
        exclusions: keys of samples that loaders leave out (``storage.duplicates``).
        models: digests of the models that made the shards; no part of the version's id.

    Raises:
        VersionError: a unit is not committed, is named twice, or there is none.
    """
    place = Root.of(root)
    infos = _infos(place, fingerprints)
    rejects = Counter[str]()
    for info in infos:
        rejects.update(info.rejects_by_reason)
    excluded = frozenset(exclusions)
    rows = (open_rows(place, [name], "parquet") for name in fingerprints)
    counts, statistics = summarise(rows, excluded)
    content = {
        "contract": CONTRACT_VERSION,
        "shards": list(fingerprints),
        "digests": [info.digests["tar"] for info in infos],
        "counts": [[count.train, count.val] for count in counts],
        "n_samples": sum(info.n_samples for info in infos),
        "n_rejects": sum(info.n_rejects for info in infos),
        "rejects_by_reason": dict(rejects),
        "config": dict(config),
        "statistics": statistics | {"rejects_by_reason": dict(rejects)},
        "exclusions": sorted(excluded),
    }
    version_id = digest_of(content, hex_digits=16)
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, allow_nan=False, indent=1)
    try:
        if models:
            write_atomic(place.version_models(version_id), json.dumps(dict(models)).encode())
        write_atomic(place.version(version_id), text.encode())
        write_atomic(place.latest, f"{version_id}\n".encode())
    except OSError as error:
        raise VersionError(f"cannot write version {version_id} in {place}: {error}") from error
    return open_version(place, version_id)


def open_version(root: Place, version: str = "latest") -> DatasetVersion:
    """A published version by id, or the one published last.

    Raises:
        VersionError: there is no such version, or its file is broken.
        ContractError: it was written by a later version of this package.
    """
    place = Root.of(root)
    version_id = latest_id(place) if version == "latest" else version
    uri = place.version(version_id)
    try:
        if not is_version_id(version_id):
            raise FileNotFoundError(version_id)
        fields = json.loads(read_bytes(uri))
        refuse_newer(fields.get("contract"), where=uri)
        counts = tuple(ShardCount(train=train, val=val) for train, val in fields["counts"])
        if digest_of(fields, hex_digits=16) != version_id:
            raise ValueError("its content does not give its id; it was changed by hand")
        return DatasetVersion(
            id=version_id,
            root=place,
            shards=tuple(fields["shards"]),
            counts=counts,
            exclusions=frozenset(fields["exclusions"]),
            models=_models(place, version_id),
            **{name: fields[name] for name in _PLAIN_FIELDS},
        )
    except FileNotFoundError as error:
        known = ", ".join(list_versions(place)) or "none"
        raise VersionError(f"no version {version_id!r} in {place}; there are: {known}") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise VersionError(f"{uri}: not a readable version: {error}") from error


def split_dataset(dataset: str) -> tuple[str, str]:
    """``ROOT[@VERSION]`` as (root, version); without a version, the latest."""
    root, separator, version = dataset.rpartition("@")
    if separator and "/" not in version:
        return root, version or "latest"
    return dataset, "latest"


def list_versions(root: Place) -> list[str]:
    """Ids of all published versions, sorted."""
    stems = stems_in(Root.of(root).versions, ".json")
    return [stem for stem in stems if is_version_id(stem)]


def _models(root: Root, version_id: str) -> dict[str, str]:
    uri = root.version_models(version_id)
    try:
        found = json.loads(read_bytes(uri))
        return {str(name): str(digest) for name, digest in found.items()}
    except FileNotFoundError:  # of a version that is older than this file
        return {}
    except (OSError, ValueError, AttributeError) as error:
        raise VersionError(f"{uri}: not readable: {error}") from error


def is_version_id(text: str) -> bool:
    """Whether it could name a version."""
    return _ID.fullmatch(text) is not None


def latest_id(root: Root) -> str:
    """The version published last.

    Raises:
        VersionError: there is none, or the file that names it cannot be read.
    """
    try:
        return read_bytes(root.latest).decode().strip()
    except FileNotFoundError as error:
        raise VersionError(
            f"no data set version in {root}: expected {root.latest}, which `hcp rebuild` writes"
        ) from error
    except (OSError, ValueError) as error:
        raise VersionError(f"{root.latest} cannot be read: {error}") from error


def _infos(root: Root, fingerprints: Sequence[str]) -> list[ShardInfo]:
    if not fingerprints:
        raise VersionError(f"a version of {root} needs at least one shard, got none")
    if len(set(fingerprints)) != len(fingerprints):
        raise VersionError(f"a version of {root} names a shard twice")
    try:
        return list(read_shard_infos(root, fingerprints))
    except ShardError as error:
        raise VersionError(f"version of {root} cannot be published: {error}") from error
