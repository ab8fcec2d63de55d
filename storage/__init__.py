"""Records on disk: sources, plans, shards, dataset versions, and the model registry."""

from storage.sources import open_source, resolve_source
from storage.versions import DatasetVersion, open_version, publish_version

__all__ = ["DatasetVersion", "open_source", "open_version", "publish_version", "resolve_source"]
