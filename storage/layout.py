"""Where everything of a data set lies below its root: no other module knows a folder's name."""

import os
from dataclasses import dataclass

from storage.errors import PlaceError
from storage.locations import join, normalised
from storage.places import check_own_folder

DATA_SUFFIXES = ("tar", "parquet", "rejects.parquet")
"""The files of a shard, in the order in which they are published; its marker comes after them."""
MARKER_SUFFIX = "json"


@dataclass(frozen=True, slots=True)
class Root:
    """The root of a data set, in one spelling: an absolute path, or a URL without trailing slash.

    A relative path is taken from the working directory of the process that makes the value, and
    means the same folder wherever the value is sent.

    Raises:
        PlaceError: a path or URL that cannot be meant, such as an empty one, or the disk's root.
    """

    uri: str

    def __post_init__(self) -> None:
        try:
            uri = normalised(self.uri)
            check_own_folder(uri)
        except PlaceError as error:
            raise PlaceError(f"the root of a data set must be a path or a URL: {error}") from error
        object.__setattr__(self, "uri", uri)

    @classmethod
    def of(cls, place: "Place") -> "Root":
        """The root that a caller names by a path, by a URL or by its value."""
        return place if isinstance(place, Root) else cls(os.fspath(place))

    def __str__(self) -> str:
        return self.uri

    @property
    def shards(self) -> str:
        """The folder of shards."""
        return join(self.uri, "shards")

    @property
    def versions(self) -> str:
        """The folder of dataset versions."""
        return join(self.uri, "versions")

    @property
    def plans(self) -> str:
        """The folder of plans."""
        return join(self.uri, "plans")

    @property
    def runs(self) -> str:
        """The folder of run logs and of the last rebuild's settings."""
        return join(self.uri, "runs")

    @property
    def retries(self) -> str:
        """The folder of the notes on units that were tried again."""
        return join(self.uri, "retries")

    @property
    def caches(self) -> str:
        """The folder of caches: encoded samples, a folder for each base and settings."""
        return join(self.uri, "caches")

    def shard(self, fingerprint: str, suffix: str) -> str:
        """One file of a shard: tar, parquet, rejects.parquet or json (the marker)."""
        return join(self.shards, f"{fingerprint}.{suffix}")

    def version(self, version_id: str) -> str:
        """The file of a dataset version."""
        return join(self.versions, f"{version_id}.json")

    def version_models(self, version_id: str) -> str:
        """The file that says which models made the shards of a version."""
        return join(self.versions, f"{version_id}.models.json")

    @property
    def latest(self) -> str:
        """The file that names the version published last."""
        return join(self.versions, "LATEST")

    def plan(self, plan_id: str) -> str:
        """The file of a plan."""
        return join(self.plans, f"{plan_id}.parquet")

    def run_log(self, name: str) -> str:
        """The file of a run log."""
        return join(self.runs, f"{name}.jsonl")

    @property
    def settings(self) -> str:
        """The parameters of the last rebuild."""
        return join(self.runs, "rebuild-params.json")

    def retry_note(self, fingerprint: str) -> str:
        """The file that says which shard stands in for a planned unit."""
        return join(self.retries, f"{fingerprint}.json")

    def cached(self, digest: str, name: str) -> str:
        """One file of a cache: ``cache.json``, or a shard's tar or marker."""
        return join(self.caches, digest, name)

    def retry_work(self, plan_id: str) -> "Root":
        """Where a retry of a plan's rejects puts its own shards, until they are merged."""
        return Root(join(self.retries, f"work-{plan_id}"))


Place = str | os.PathLike[str] | Root
"""How callers may name a root; ``Root.of`` makes it a value."""
