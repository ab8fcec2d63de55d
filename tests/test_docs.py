"""The pages name files that are there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
FOLDERS = "benchmarks|demo|docs|flows|hcp|priors|storage|tests"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_a_page_names_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = [ROOT / path for path in re.findall(rf"`((?:{FOLDERS})/[\w./-]+)`", text)]
    linked = [page.parent / path for path in re.findall(r"\]\(([\w./-]+)\)", text)]
    missing = [str(p) for p in (*named, *linked) if "NAME" not in p.name and not p.exists()]
    assert not missing
