"""What the code says of a setting: its description, or the comment or the text beside its field."""

import ast
import inspect
import io
import tokenize
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from functools import cache
from itertools import pairwise
from textwrap import dedent

from pydantic import BaseModel


def note(kind: type, name: str) -> str:
    """What is said of a field of a parameters' class or of a config; "" where nothing is."""
    if issubclass(kind, BaseModel):
        return kind.model_fields[name].description or ""
    homes = [home for home in kind.__mro__ if is_dataclass(home)]
    return next((said[name] for said in map(_notes, homes) if said.get(name)), "")


def summary(kind: type) -> str:
    """The first paragraph of a class's docstring."""
    return " ".join(inspect.cleandoc(kind.__doc__ or "").partition("\n\n")[0].split())


@cache
def _notes(kind: type) -> Mapping[str, str]:
    return notes_of(dedent(inspect.getsource(kind)))


def notes_of(source: str) -> Mapping[str, str]:
    """What a class's own text says of its fields; "" where it says nothing."""
    comments = dict(_comments(source))
    body = [*ast.parse(source).body[0].body, None]  # type: ignore[attr-defined]
    said: dict[str, str] = {}
    for field, after in pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            end = after.lineno if after else len(source.splitlines()) + 1
            lines = [comments[line] for line in range(field.lineno, end) if line in comments]
            if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
                lines.append(str(after.value.value))
            said[field.target.id] = " ".join(" ".join(lines).split())
    return said


def _comments(source: str) -> Iterator[tuple[int, str]]:
    """Every comment with its line's number."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string.lstrip("# ")
