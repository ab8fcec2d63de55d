"""What the code says of a setting is found where it stands."""

from dataclasses import dataclass, field

import pytest

from docs.field_notes import note, summary
from flows.params import RebuildParams


@dataclass(frozen=True, kw_only=True)
class Inner:
    """Its summary,
    in two lines.

    And more."""

    size_px: int = 3  # on its line
    names: tuple[str, ...] = (
        "a # b",
        "c",
    )  # behind the value
    deep: dict[str, int] = field(default_factory=dict)  # on its line,
    #                                                     and below
    told: str | None = None
    """A text below."""

    bare: int = 0

    def method(self) -> None:
        """Not of the field above."""


@dataclass(frozen=True, kw_only=True)
class Heir(Inner):
    """Says one field anew."""

    size_px: int = 4  # another


@pytest.mark.parametrize(
    ("kind", "name", "said"),
    [
        (Inner, "size_px", "on its line"),
        (Inner, "names", "behind the value"),
        (Inner, "deep", "on its line, and below"),
        (Inner, "told", "A text below."),
        (Inner, "bare", ""),
        (Heir, "size_px", "another"),
        (Heir, "names", "behind the value"),
        (RebuildParams, "root", "where shards and versions live"),
    ],
)
def test_a_field_is_told_by_what_stands_beside_it(kind: type, name: str, said: str) -> None:
    assert note(kind, name) == said


def test_a_class_is_told_by_its_first_paragraph() -> None:
    assert summary(Inner) == "Its summary, in two lines."
