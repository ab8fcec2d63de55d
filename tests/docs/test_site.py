"""The site is built strictly, and is read and searched without a network."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.browser import NEEDS_CHROMIUM, browser

ROOT = Path(__file__).parents[2]
FETCHED = re.compile(
    r"<(?:script|img|iframe|link)\b[^>]*\b(?:src|href)=[\"']?((?:https?:)?//[^\"'> ]+)"
)
WIDTHS = [(1280, False), (390, True)]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


def test_every_page_of_the_folder_is_on_the_site(site: Path) -> None:
    pages = {path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md")}
    assert {page for page in pages if not (site / page.with_suffix(".html")).is_file()} == set()


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    fetched = {
        f"{page.relative_to(site)}: {address}"
        for page in site.rglob("*.html")
        for address in FETCHED.findall(page.read_text(encoding="utf-8"))
    }
    styles = "".join(path.read_text(encoding="utf-8") for path in site.rglob("*.css"))
    assert not fetched
    assert not re.findall(r"url\([\"']?(?:https?:)?//", styles)


@NEEDS_CHROMIUM
def test_it_is_read_and_searched_from_the_disk(site: Path, tmp_path: Path) -> None:
    with browser(tmp_path) as tab:
        for width, phone in WIDTHS:
            tab.size(width, 900, phone=phone)
            for page in ("index", "operations", "training"):
                tab.open((site / f"{page}.html").as_uri())
                assert tab.run("document.documentElement.scrollWidth") <= width, (page, width)
        tab.size(1280, 900)
        tab.open((site / "index.html").as_uri())
        tab.run("document.querySelector('[data-md-component=search-query]').focus()")
        tab.call("Input.insertText", text="zero terminal SNR")
        found = "document.querySelector('.md-search-result__link[href*=\"bases.html\"]')"
        tab.wait(found, seconds=60)
        assert tab.complaints == []
        assert [url for url in tab.requests if not url.startswith(("file:", "data:"))] == []
