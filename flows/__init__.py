"""Prefect flows: what runs, in which order. Loads neither torch nor ray."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from storage.extras import explained_imports

if TYPE_CHECKING:
    from flows.ablate import ablate_hcp
    from flows.cache import cache_dataset
    from flows.evaluate import evaluate_hcp
    from flows.pipeline import rebuild_and_train
    from flows.rebuild import rebuild_dataset
    from flows.retry import retry_failed
    from flows.train import train_hcp

__all__ = [
    "ablate_hcp",
    "cache_dataset",
    "evaluate_hcp",
    "rebuild_and_train",
    "rebuild_dataset",
    "retry_failed",
    "train_hcp",
]

_MODULES = {
    "ablate_hcp": "flows.ablate",
    "cache_dataset": "flows.cache",
    "evaluate_hcp": "flows.evaluate",
    "rebuild_and_train": "flows.pipeline",
    "rebuild_dataset": "flows.rebuild",
    "retry_failed": "flows.retry",
    "train_hcp": "flows.train",
}


def __getattr__(name: str) -> Any:
    # Prefect takes two seconds to import: `import flows` alone does not pay for it.
    if name not in _MODULES:
        raise AttributeError(f"module 'flows' has no attribute {name!r}")
    with explained_imports():
        return getattr(import_module(_MODULES[name]), name)
