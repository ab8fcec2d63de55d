"""From layers of settings to a flow's parameters: each layer wins over those before it.

Environment, preset, file, ``--set``, options.
"""

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from flows.cli.choices import PRESETS, presets
from flows.cli.console import fail, note
from flows.environment import variable_of
from flows.legacy import moved
from flows.tree import branches, check_names, leaves, nested

P = TypeVar("P", bound=BaseModel)
Layer = Mapping[str, Any]

_SECTIONS = {
    "RebuildParams": "rebuild",
    "CacheParams": "train",
    "TrainSettings": "train",
    "EvaluateSettings": "evaluate",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What a command line says about a flow's parameters."""

    options: Layer  # dotted path -> value; None: not given
    assignments: Sequence[str] = ()  # of --set: path.to.field=value
    file: Path | None = None  # of --config
    preset: str | None = None


def load_params(kind: type[P], given: Given, *, before: Layer | None = None) -> P:
    """The flow's parameters; ``before`` are settings known already, below the preset.

    A mistake ends the process with one clear message and exit code 2.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", FutureWarning)
        try:
            layers = [
                from_environment(kind, os.environ),
                before or {},
                from_preset(kind, given.preset),
                from_file(given.file),
                *(from_assignment(kind, text) for text in given.assignments),
                *(tree(path, value) for path, value in given.options.items() if value is not None),
            ]
            params = kind.model_validate(reduce(merged, (moved(kind, each) for each in layers)))
        except ValidationError as error:
            fail("\n".join(map(_sentence, error.errors())))
        except ValueError as error:
            fail(str(error))
    for warning in caught:
        note(f"{warning.message}")
    return params


def from_environment(kind: type, environment: Mapping[str, str]) -> Layer:
    """``HCP_TRAINING__LEARNING_RATE=3e-4``: what is empty or no setting of this flow is left."""
    layer: Layer = {}
    for path, annotation in leaves(kind):
        text = environment.get(variable_of(path), "")
        if text.strip():
            layer = merged(layer, tree(".".join(path), _value(text, annotation)))
    return layer


def from_preset(kind: type, name: str | None) -> Layer:
    """The sections of a preset that this flow has.

    Raises:
        ValueError: there is no such preset.
    """
    if name is None:
        return {}
    if name not in presets():
        raise ValueError(f"--preset {name}: there are {', '.join(presets())}")
    sections: Layer = yaml.safe_load((PRESETS / f"{name}.yaml").read_text(encoding="utf-8"))

    def section(below: type | None) -> str | None:
        mro = below.__mro__ if below is not None else ()
        return next((_SECTIONS[c.__name__] for c in mro if c.__name__ in _SECTIONS), None)

    own = section(kind)
    if own is not None:
        return sections.get(own, {})
    parts = {field: section(nested(annotation)) for field, annotation in branches(kind).items()}
    return {field: sections.get(part, {}) for field, part in parts.items() if part is not None}


def from_file(path: Path | None) -> Layer:
    """A YAML or JSON file of parameters.

    Raises:
        ValueError: it cannot be read, or is no mapping.
    """
    if path is None:
        return {}
    try:
        loaded: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"--config {path}: not a readable YAML file: {error}") from error
    if not isinstance(loaded, dict):
        raise ValueError(f"--config {path}: expected a mapping of parameters, got {loaded!r:.80}")
    return loaded


def from_assignment(kind: type, text: str) -> Layer:
    """``path.to.field=value``, the value as YAML.

    Raises:
        ValueError: no ``=``, or there is no such setting.
    """
    path, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"--set {text}: expected path.to.field=value")
    annotation = {".".join(place): found for place, found in leaves(kind)}.get(path.strip())
    layer = tree(path.strip(), _value(value, annotation))
    try:
        check_names(kind, moved(kind, layer))
    except ValueError as error:
        raise ValueError(f"--set {error}") from error
    return layer


def merged(under: Layer, over: Layer) -> dict[str, Any]:
    """Both layers; where both say something, the second does."""
    result = dict(under)
    for name, value in over.items():
        below = result.get(name)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            value = merged(below, value)
        result[name] = value
    return result


def tree(path: str, value: Any) -> dict[str, Any]:
    """``a.b.c`` and a value as nested mappings."""
    name, _, rest = path.partition(".")
    return {name: tree(rest, value) if rest else value}


def _value(text: str, annotation: Any) -> Any:
    if annotation is str:  # also where it looks like a number
        return text
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"{text!r} is not a YAML value: {error}") from error


def _sentence(error: Mapping[str, Any]) -> str:
    message, got = str(error["msg"]).removeprefix("Value error, "), error["input"]
    if error["type"] not in ("missing", "value_error") and isinstance(got, str | int | float):
        message = f"{message}, got {got!r}"
    return ": ".join(filter(None, (".".join(map(str, error["loc"])), message)))
