"""What versions a root has, newest first, without reading all of each."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from storage.contract import refuse_newer
from storage.errors import ContractError, VersionError
from storage.file_facts import files_in
from storage.layout import Place, Root
from storage.locations import read_bytes
from storage.versions import is_version_id, latest_id


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionSummary:
    """One published version in a line."""

    id: str
    published: datetime | None  # UTC, of its file; None: the store does not say
    n_samples: int
    n_rejects: int
    n_shards: int
    n_excluded: int
    is_latest: bool
    problem: str = ""  # why it cannot be read; the counts are 0 then


def count_versions(root: Place) -> int:
    """How many versions are published."""
    return len(_files(Root.of(root)))


def summarise_versions(root: Place, *, limit: int | None = None) -> Iterator[VersionSummary]:
    """The versions of a root, the newest first, at most ``limit``.

    Only those are opened, and none is checked against its id: ``open_version`` does that. One that
    cannot be read is in the list, with the reason.

    Raises:
        ContractError: the root was written by a later version of this package.
    """
    place = Root.of(root)
    try:
        latest = latest_id(place)
    except VersionError:
        latest = ""
    newest = sorted(_files(place).items(), key=lambda item: (-item[1], item[0]))
    for version_id, seconds in newest[:limit]:
        yield _summary(place, version_id, seconds, is_latest=version_id == latest)


def refuse_newer_root(root: Root) -> None:
    """Do nothing for a root that this version of the package can go on with, or that is new.

    Raises:
        ContractError: its latest version was written by a later version of this package.
    """
    try:
        version_id = latest_id(root)
    except VersionError:
        return
    _summary(root, version_id, 0.0, is_latest=True)


def _files(root: Root) -> dict[str, float]:
    """When each version was published, in seconds since 1970; 0 where the store does not say."""
    found = {name.removesuffix(".json"): file for name, file in files_in(root.versions).items()}
    return {stem: file.modified_s for stem, file in found.items() if is_version_id(stem)}


def _summary(root: Root, version_id: str, seconds: float, *, is_latest: bool) -> VersionSummary:
    uri = root.version(version_id)
    numbers, problem = (0, 0, 0, 0), ""
    try:
        fields = json.loads(read_bytes(uri))
        refuse_newer(fields.get("contract"), where=uri)
        numbers = (
            int(fields["n_samples"]),
            int(fields["n_rejects"]),
            len(fields["shards"]),
            len(fields["exclusions"]),
        )
    except ContractError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        problem = f"not a readable version: {error}"
    n_samples, n_rejects, n_shards, n_excluded = numbers
    return VersionSummary(
        id=version_id,
        published=datetime.fromtimestamp(seconds, UTC) if seconds else None,
        n_samples=n_samples,
        n_rejects=n_rejects,
        n_shards=n_shards,
        n_excluded=n_excluded,
        is_latest=is_latest,
        problem=problem,
    )
