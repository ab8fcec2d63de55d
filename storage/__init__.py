"""Records on disk: sources, plans, shards, dataset versions, and the model registry.

The names below load on first use, so that ``hcp --help`` needs neither numpy nor pyarrow.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from storage.sources import open_source, resolve_source
    from storage.versions import DatasetVersion, open_version, publish_version

__all__ = ["DatasetVersion", "open_source", "open_version", "publish_version", "resolve_source"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'storage' has no attribute {name!r}")
    home = "storage.sources" if name.endswith("_source") else "storage.versions"
    return getattr(import_module(home), name)
