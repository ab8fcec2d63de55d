"""Report and inspection page in a real browser, at a desk and on a phone, light and dark."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hcp.pages.inspection import render_inspection
from hcp.pages.report import render
from storage.versions import publish_version
from tests.browser import LOW_CONTRAST, NEEDS_CHROMIUM, Tab, browser
from tests.hcp.pages.test_inspection import photos_and_rejects
from tests.hcp.pages.test_report import report_data

pytestmark = [
    pytest.mark.slow,
    NEEDS_CHROMIUM,
]

STOPS = """[...document.querySelectorAll("a[href], button, input, select, summary, [tabindex]")]
  .filter((node) => node.tabIndex >= 0 && !node.disabled && node.checkVisibility())
  .filter((node) => node.type !== "radio" || node.checked)"""
"""What the key Tab must reach; of a group of radio buttons the one that is chosen."""

HIDDEN_PARTS = """[...document.querySelectorAll("body *")].filter((node) =>
  node.scrollWidth > node.clientWidth + 1 && node.clientWidth > 0 &&
  ["auto", "scroll"].includes(getComputedStyle(node).overflowX) && node.tabIndex < 0
).map((node) => node.className)"""
"""What is scrolled sideways, and by the mouse alone."""

MARKED = """(() => {
  const node = document.activeElement;
  const shown = (one) => one && getComputedStyle(one).outlineStyle !== "none";
  return shown(node) || shown(node.nextElementSibling) || shown(node.parentElement);
})()"""
"""Whether what has the focus shows it, itself or by its label."""


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with browser(tmp_path_factory.mktemp("browser")) as tab:
        yield tab


@pytest.fixture
def pages(tmp_path: Path, fill_root: Callable[[str], list[str]]) -> dict[str, str]:
    """Both pages, by name, as files."""
    root = str(tmp_path / "small")
    version = publish_version(root, fill_root(root), config={})
    photos = photos_and_rejects(tmp_path)
    texts = {
        "report": render(report_data(version)),
        "inspection": render_inspection(photos),
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.html").write_text(text)
    return {name: (tmp_path / f"{name}.html").as_uri() for name in texts}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_pages_are_whole_legible_and_reached_by_keyboard(
    tab: Tab, pages: dict[str, str], width: int, scheme: str, tmp_path: Path
) -> None:
    tab.size(width, 844, phone=width < 600)
    tab.scheme(scheme)
    for name, url in pages.items():
        tab.requests.clear()
        tab.complaints.clear()
        tab.open(url)
        assert tab.run("document.documentElement.scrollWidth <= innerWidth"), (name, width)
        assert tab.run(LOW_CONTRAST) == [], name
        assert tab.run(HIDDEN_PARTS) == [], name
        assert tab.run("[...document.images].filter((i) => !i.complete || !i.naturalWidth)") == []
        assert tab.run("[...document.images].every((i) => i.hasAttribute('alt'))"), name
        wanted = tab.run(f"({STOPS}).length")
        for number in range(wanted):
            tab.press("Tab")
            assert tab.run(f"({STOPS}).indexOf(document.activeElement)") == number, name
            assert tab.run(MARKED), (name, tab.run("document.activeElement.outerHTML.slice(0, 99)"))
        assert [each for each in tab.requests if not each.startswith(("file:", "data:"))] == []
        assert tab.complaints == []
        tab.picture(tmp_path / f"{name}-{width}-{scheme}.png")
