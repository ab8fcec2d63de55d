"""What the names in the parameters stand for: 'embedded' models, ROOT@VERSION, registry URIs."""

import os
from pathlib import Path
from typing import Literal

EMBEDDED = "embedded"

Model = Literal["base", "pose", "masks"]


def model_path(name: str, kind: Model) -> str:
    """The embedded model's folder for 'embedded', any other name unchanged."""
    if name != EMBEDDED:
        return name
    from demo import embedded

    folders = {"base": embedded.SD_DIR, "pose": embedded.POSE_DIR, "masks": embedded.SAM_DIR}
    return str(folders[kind])


def split_dataset(dataset: str) -> tuple[str, str]:
    """``ROOT[@VERSION]`` as (root, version); without a version, the latest."""
    root, separator, version = dataset.rpartition("@")
    if separator and "/" not in version:
        return root, version or "latest"
    return dataset, "latest"


def registry_uri(given: str | None) -> str:
    """The MLflow URI: the parameter, else MLFLOW_TRACKING_URI, else a sqlite file here."""
    default = f"sqlite:///{Path('hcp-registry.db').resolve()}"
    return given or os.environ.get("MLFLOW_TRACKING_URI") or default
