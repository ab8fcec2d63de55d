"""Names and places in the parameters: what they stand for, wherever a worker stands."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.resources import files
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator

from hcp.training.config import TrainConfig
from storage.locations import normalised, settled
from storage.mlflow_calls import sqlite_file
from storage.places import check_filled, check_own_folder
from storage.versions import split_dataset

C = TypeVar("C")

EMBEDDED = "embedded"

Model = Literal["base", "pose", "masks", "judge", "bodies"]

EMBEDDED_FOLDERS: Mapping[Model, str] = {
    "base": "sd", "pose": "pose", "masks": "sam", "judge": "judge",
    "bodies": "bodies",
}  # fmt: skip
"""Below ``weights`` of the package ``demo``; the judge of poses is not the extractor's model."""


def model_path(name: str, kind: Model) -> str:
    """The embedded model's folder for 'embedded', any other name unchanged."""
    if name != EMBEDDED:
        return name
    # Found as files: no package imports `demo`, which stands above them all.
    return str(files("demo").joinpath("weights", EMBEDDED_FOLDERS[kind]))


def _given(text: str) -> str:
    check_filled(text)
    return text


def _place(text: str) -> str:
    place = normalised(_given(text))
    check_own_folder(place)
    return place


def _file(text: str) -> str:
    """A local path is made absolute; any other name (an id, a registry URI) stays."""
    return settled(_given(text))


def _registry(text: str) -> str:
    """A database file is made absolute; any other URI stays."""
    file, query = sqlite_file(_given(text)), text.partition("?")[2]
    return text if file is None else f"sqlite:///{file}{f'?{query}' if query else ''}"


def _dataset(text: str) -> str:
    root, version = split_dataset(_given(text))
    return f"{_place(root)}@{version}" if text != root else _place(root)


Name = Annotated[str, AfterValidator(_given)]
"""Not empty."""
Place = Annotated[str, AfterValidator(_place)]
"""A path or fsspec URL; a relative path becomes absolute: a Ray worker stands in another folder."""
File = Annotated[str, AfterValidator(_file)]
"""A path where one exists, else a name that something else knows."""
Registry = Annotated[str, AfterValidator(_registry)]
"""An MLflow URI."""
Dataset = Annotated[str, AfterValidator(_dataset)]
"""``ROOT`` or ``ROOT@VERSION``."""


def with_datasets(config: TrainConfig) -> TrainConfig:
    """A validator of a training's settings: the versions that it mixes in are named as Dataset."""
    try:
        also = tuple(replace(each, dataset=_dataset(each.dataset)) for each in config.data.also)
    except ValueError as error:
        raise ValueError(f"data.also: dataset {error}") from error
    return replace(config, data=replace(config.data, also=also))


def with_places(*fields: str) -> Callable[[C], C]:
    """A validator of a nested config: these fields are files or names, as ``File``."""

    def settle(config: C) -> C:
        found: dict[str, str] = {}
        for name in fields:
            value = getattr(config, name)
            try:
                found |= {} if value is None else {name: _file(value)}
            except ValueError as error:
                raise ValueError(f"{name} {error}") from error
        settled: Any = config  # a frozen dataclass: its type knows no such bound
        return replace(settled, **found)

    return settle
