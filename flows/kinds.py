"""Our flows by their names, and all the settings that they have."""

from collections.abc import Mapping

from pydantic import BaseModel

from flows import params
from flows.tree import Path, leaves

KINDS: Mapping[str, type[BaseModel]] = {
    "rebuild-dataset": params.RebuildParams,
    "retry-failed": params.RetryParams,
    "cache-dataset": params.CacheParams,
    "train-hcp": params.TrainParams,
    "evaluate-hcp": params.EvaluateParams,
    "rebuild-and-train": params.RebuildAndTrainParams,
    "ablate-hcp": params.AblateParams,
}
"""The parameters of each flow."""


def setting_paths() -> set[Path]:
    """Where the settings of any flow stand in its parameters."""
    return {path for kind in KINDS.values() for path, _ in leaves(kind)}
