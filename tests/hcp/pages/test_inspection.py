"""The dataset page: everything in one file, filters without scripts, hostile text escaped."""

import re
from pathlib import Path

import pytest

from hcp.pages.inspection import render_inspection
from priors.extract import run_units_inline
from storage.plan import PlanConfig, plan_units
from storage.sources import resolve_source
from storage.versions import DatasetVersion, publish_version
from tests.hostile import encoded, lenient_extractor, picture


@pytest.fixture
def version(tmp_path: Path) -> DatasetVersion:
    return photos_and_rejects(tmp_path)


def photos_and_rejects(tmp_path: Path) -> DatasetVersion:
    """A version of four photos, hostile captions, and rejects of two reasons."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in range(4):
        (folder / f"{seed}.jpg").write_bytes(encoded(picture(seed)))
        (folder / f"{seed}.txt").write_text("<script>alert(1)</script> a man & a woman")
    for name in ("<b>.jpg", "x.jpg", "y.jpg"):
        (folder / name).write_bytes(b"no photo")
    (folder / "z.jpg").write_bytes(encoded(picture(9)))
    source = resolve_source(str(folder))
    units = list(plan_units(source.records(), config=PlanConfig(), salt=""))
    root = str(tmp_path / "data")
    run_units_inline(
        units,
        make_extractor=lambda: lenient_extractor(source, root),
        on_report=lambda _: None,
    )
    keys = [units[0].records[0].key]
    return publish_version(root, [unit.fingerprint for unit in units], config={}, exclusions=keys)


def test_the_page_of_a_version(version: DatasetVersion) -> None:
    page = render_inspection(version)
    assert version.id in page
    assert not re.search(r"<script|https?://|<link|@import|url\(", page)
    assert page.count("data:image/jpeg;base64,") == version.samples.count_rows() == 3
    assert "&lt;script&gt;alert(1)&lt;/script&gt; a man &amp; a woman" in page
    assert "%3Cb%3E.jpg" in page
    for reason in ("unreadable", "no_caption"):
        assert f'id="reason-{reason}"' in page
        assert f"#reason-{reason}:checked" in page
        assert page.count(f'<tr class="{reason}">') == version.rejects_by_reason[reason]
    for title in ("Detection score", "Visible keypoints per person", "Longer side, px"):
        assert title in page


def test_rejects_that_are_not_shown_are_counted(version: DatasetVersion) -> None:
    page = render_inspection(version, rejects_each=1)
    assert page.count('<tr class="unreadable">') == 2
    assert "and 2 more" in page
    assert "and 0 more" not in page
