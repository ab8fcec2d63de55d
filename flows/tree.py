"""The settings as a tree: which names there are below a flow's parameters."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from functools import cache
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel

Path = tuple[str, ...]


@cache
def branches(kind: type) -> Mapping[str, Any]:
    """The fields of a parameters' class or of a component's config, with their types."""
    if issubclass(kind, BaseModel):
        return {name: field.annotation for name, field in kind.model_fields.items()}
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


def nested(annotation: Any) -> type | None:
    """The config that a field holds; None for a leaf."""
    if get_origin(annotation) in (Union, UnionType):
        found = [nested(each) for each in get_args(annotation)]
        return next((kind for kind in found if kind is not None), None)
    is_config = isinstance(annotation, type) and (
        is_dataclass(annotation) or issubclass(annotation, BaseModel)
    )
    return annotation if is_config else None


def element(annotation: Any) -> type | None:
    """The config of which a field holds several; None for any other field."""
    found = get_args(annotation) if get_origin(annotation) is tuple else ()
    return nested(found[0]) if found else None


def leaves(kind: type, above: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every setting below a class: its path and its type."""
    for name, annotation in branches(kind).items():
        below = nested(annotation)
        if below is None:
            yield (*above, name), annotation
        else:
            yield from leaves(below, (*above, name))


def check_names(kind: type, data: Any, above: Path = ()) -> None:
    """Refuse names that are no settings.

    Raises:
        ValueError: names one, and its nearest neighbour.
    """
    if not isinstance(data, Mapping):
        return
    for name, value in data.items():
        if name not in branches(kind):
            raise ValueError(f"{_joined(above, str(name))}: {_unknown(kind, str(name), above)}")
        below = nested(branches(kind)[name])
        if below is not None:
            check_names(below, value, (*above, name))
        each = element(branches(kind)[name])
        if each is not None and isinstance(value, list | tuple):
            for entry in value:
                check_names(each, entry, (*above, name))


def _unknown(kind: type, name: str, above: Path) -> str:
    places = {path[-1]: path for path, _ in leaves(kind)} | {own: (own,) for own in branches(kind)}
    near = get_close_matches(name, places, n=1)
    hint = f"there are: {', '.join(branches(kind))}"
    if near:
        hint = f"did you mean {_joined(above, *places[near[0]])}?"
    return f"there is no such setting; {hint}"


def _joined(above: Path, *names: str) -> str:
    return ".".join((*above, *names))
