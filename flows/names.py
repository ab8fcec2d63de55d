"""What the names in the parameters stand for: 'embedded' models, ROOT@VERSION."""

from collections.abc import Mapping
from importlib.resources import files
from typing import Literal

EMBEDDED = "embedded"

Model = Literal["base", "pose", "masks"]

EMBEDDED_FOLDERS: Mapping[Model, str] = {"base": "sd", "pose": "pose", "masks": "sam"}
"""Below ``weights`` of the package ``demo``."""


def model_path(name: str, kind: Model) -> str:
    """The embedded model's folder for 'embedded', any other name unchanged."""
    if name != EMBEDDED:
        return name
    # Found as files: no package imports `demo`, which stands above them all.
    return str(files("demo").joinpath("weights", EMBEDDED_FOLDERS[kind]))


def split_dataset(dataset: str) -> tuple[str, str]:
    """``ROOT[@VERSION]`` as (root, version); without a version, the latest."""
    root, separator, version = dataset.rpartition("@")
    if separator and "/" not in version:
        return root, version or "latest"
    return dataset, "latest"
