"""The reference of the settings holds all of them, and is what the code says today."""

import re
from collections.abc import Iterator
from typing import Any, Literal

import pytest

from docs.configuration import FLOWS, PAGE, page, type_text
from docs.field_notes import note
from flows.tree import branches, element, nested

KINDS = [kind for _, kind in FLOWS.values()]


def below(kind: type) -> Iterator[tuple[type, str, Any]]:
    """Every setting below a class, those of the configs in lists too."""
    for name, annotation in branches(kind).items():
        config = nested(annotation) or element(annotation)
        if config is None:
            yield kind, name, annotation
        else:
            yield from below(config)


def test_the_page_is_current() -> None:
    assert page() == PAGE.read_text(encoding="utf-8"), "run: python -m docs.configuration"


def test_every_setting_has_a_row_and_every_row_says_what_it_is() -> None:
    rows = re.findall(r"^\| `([\w.\[\]*]+)` \| ([^|]*) \|", page(), re.MULTILINE)
    empty = [path for path, said in rows if not said.strip()]
    assert empty == [], "say what it is in a comment beside the field"
    names = {path.removesuffix(".*").rsplit(".", 1)[-1] for path, _ in rows}
    assert {name for kind in KINDS for _, name, _ in below(kind)} <= names
    unsaid = {f"{home.__name__}.{name}" for kind in KINDS for home, name, _ in below(kind)
              if not note(home, name)}  # fmt: skip
    assert unsaid == set()


@pytest.mark.parametrize("flow", FLOWS)
def test_every_flow_has_a_section(flow: str) -> None:
    assert f"\n## {flow}\n" in page()


def test_every_link_leads_to_a_heading() -> None:
    headings = re.findall(r"^#+ (.*)$", page(), re.MULTILINE)
    anchors = [re.sub(r"[^\w -]", "", each).lower().replace(" ", "-") for each in headings]
    assert len(set(anchors)) == len(anchors)
    assert set(re.findall(r"\]\(#([\w-]+)\)", page())) <= set(anchors)


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (int | None, "whole number or none"),
        (tuple[tuple[float, ...], ...], "list of lists of numbers"),
        (Literal["a", "b"], "`a`, `b`"),
        (bool, "true, false"),
    ],
)
def test_types_are_told_in_words(annotation: Any, words: str) -> None:
    assert type_text(annotation) == words


def test_what_must_be_given_and_what_may_be_given_is_told() -> None:
    assert "table | **required** | text |" in page()
    assert "| `1000` | whole number, >= 1 |" in page()
