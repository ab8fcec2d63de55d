"""Writes docs/configuration.md: every setting of every flow, with type, default and meaning.

python -m docs.configuration
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from docs.field_notes import note, summary
from flows.params import (
    AblateParams,
    CacheParams,
    EvaluateParams,
    RebuildAndTrainParams,
    RebuildParams,
    RetryParams,
    TrainParams,
)
from flows.tree import branches, element, nested

PAGE = Path(__file__).with_name("configuration.md")
FLOWS: Mapping[str, tuple[str, type[BaseModel]]] = {
    "rebuild-dataset": ("hcp rebuild", RebuildParams),
    "retry-failed": ("hcp retry-failed", RetryParams),
    "cache-dataset": ("hcp cache", CacheParams),
    "train-hcp": ("hcp train", TrainParams),
    "evaluate-hcp": ("hcp evaluate", EvaluateParams),
    "rebuild-and-train": ("prefect deployment run rebuild-and-train/weekly", RebuildAndTrainParams),
    "ablate-hcp": ("hcp ablate", AblateParams),
}
"""Flow -> its command and its parameters."""

SHOWN_CHARS = 60
"""So much of a default list is shown, then how many entries there are beside."""

HEAD = """\
# Every setting

Made from the code by `python -m docs.configuration`. [Settings](settings.md) says where one can be
given; the environment variable of `training.learning_rate` is `HCP_TRAINING__LEARNING_RATE`.
"""
COLUMNS = "| setting | meaning | default | type |\n|---|---|---|---|"


def page() -> str:
    """The whole page."""
    headings: dict[type, str] = {}
    parts = [HEAD]
    for flow, (command, kind) in FLOWS.items():
        headings[kind] = flow
        parts += [f"## {flow}\n\n`{command}`. {summary(kind)}\n", *_flow(kind, headings)]
    return "\n".join(parts)


def _flow(kind: type, headings: dict[type, str]) -> Iterator[str]:
    """The tables of a flow's parameters; those of a flow that stands above it are named alone."""
    above = next((base for base in kind.__mro__[1:] if base in headings), None)
    if above is not None:
        yield f"All of {_link(headings[above])}, and:\n"
    names = branches(kind).keys() - (branches(above).keys() if above else ())
    yield from _sections(kind, sorted(names, key=list(branches(kind)).index), "", headings)


def _sections(
    kind: type, names: Sequence[str], above: str, headings: dict[type, str]
) -> Iterator[str]:
    """The table of a class, and below it those of the configs that its fields hold.

    A config that the page has shown is named with a link to its table.
    """
    rows, below = [COLUMNS], dict[str, type]()
    flow = list(headings.values())[-1] if not above else ""
    for name in sorted(names, key=lambda name: not _is_required(kind, name)):
        annotation = branches(kind)[name]
        config = nested(annotation) or element(annotation)
        path = f"{above}{name}{'[]' if element(annotation) else ''}"
        if config is None:
            rows.append(_row(path, kind, name))
            continue
        if _shown(config, headings) is None:
            is_taken = f"{path}.*" in headings.values()
            headings[config] = f"{path}.* of {flow}" if is_taken else f"{path}.*"
            below[path] = config
        said = note(kind, name) or summary(config).rstrip(".")
        rows.append(f"| `{path}.*` | {_cell(said)}: {_shown(config, headings)} | | settings |")
    yield "\n".join(rows) + "\n"
    for path, config in below.items():
        yield f"### {headings[config]}\n\n{_cell(summary(config))}\n"
        yield from _sections(config, list(branches(config)), f"{path}.", headings)


def _shown(config: type, headings: Mapping[type, str]) -> str | None:
    """Where the page has the table of a config, as a link; None where it has none yet.

    A flow's parameters without what another flow settles stand where the flow's own do.
    """
    for kind, heading in headings.items():
        if kind is config:
            return _link(heading)
        if issubclass(kind, config) and issubclass(kind, BaseModel):
            missing = ", ".join(
                f"`{name}`" for name in branches(kind) if name not in branches(config)
            )
            return f"{_link(heading)}, without {missing}"
    return None


def _link(heading: str) -> str:
    """To a heading of this page, by the anchor that the site and git hosts give it."""
    anchor = re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-")
    return f"[{heading}](#{anchor})"


def _is_required(kind: type, name: str) -> bool:
    if issubclass(kind, BaseModel):
        return kind.model_fields[name].is_required()
    field = next(each for each in fields(kind) if each.name == name)
    return field.default is MISSING and field.default_factory is MISSING


def _row(path: str, kind: type, name: str) -> str:
    type_of = type_text(branches(kind)[name]) + _bounds(kind, name)
    return f"| `{path}` | {_cell(note(kind, name))} | {_default(kind, name)} | {type_of} |"


def type_text(annotation: Any) -> str:
    """A type in words: what may stand in a file of settings."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return type_text(inner[0])
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in inner)
    if origin in (Union, UnionType):
        words = [type_text(each) for each in inner if each is not NoneType]
        return " or ".join([*words, "none"][: len(inner)])
    if origin is tuple:
        return f"list of {_plural(type_text(inner[0]))}"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"{type_text(inner[0])} -> {type_text(inner[1])}"
    words = {bool: "true, false", int: "whole number", float: "number", str: "text", Any: "any"}
    return words[annotation]


def _plural(words: str) -> str:
    first, of, rest = words.partition(" of ")
    return words if words.startswith("`") else f"{first}s{of}{rest}"


def _bounds(kind: type, name: str) -> str:
    """What a parameter's own description asks of its number."""
    if not issubclass(kind, BaseModel):
        return ""
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    found = [
        f"{sign} {getattr(each, key)}"
        for each in kind.model_fields[name].metadata
        for key, sign in signs.items()
        if hasattr(each, key)
    ]
    return "".join(f", {bound}" for bound in found)


def _default(kind: type, name: str) -> str:
    """The default as YAML would have it."""
    if _is_required(kind, name):
        return "**required**"
    if issubclass(kind, BaseModel):
        return _value(kind.model_fields[name].default)
    field = next(each for each in fields(kind) if each.name == name)
    is_made = field.default_factory is not MISSING
    return _value(field.default_factory() if is_made else field.default)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return _several([f"{key}: {_plain(each)}" for key, each in value.items()], "{}")
    if isinstance(value, tuple):
        return _several([_plain(each) for each in value], "[]")
    return "none" if value is None else f"`{_plain(value)}`"


def _several(items: Sequence[str], brackets: str) -> str:
    shown, n_chars = list[str](), 0
    for item in items:
        n_chars += len(item)
        if shown and n_chars > SHOWN_CHARS:
            break
        shown.append(item)
    more = f" and {len(items) - len(shown)} more" if len(items) > len(shown) else ""
    return f"`{brackets[0]}{', '.join(shown)}{brackets[1]}`{more}"


def _plain(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_plain, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _cell(text: str) -> str:
    """Text of the code for one cell of a table: Python's words as YAML has them."""
    text = text.replace("``", "`").replace("|", "\\|")
    return re.sub(r"\b(None|True|False)\b", lambda found: found[1].lower(), text)


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
