"""The compare page in a real browser: a rater's whole sitting, by keyboard, mouse and finger."""

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hcp.evaluation.ballots import collect_ballots
from hcp.evaluation.votes import VoteReport, count_votes
from hcp.pages.votes import ComparePage, ComparePageConfig, compare_page
from tests.browser import LOW_CONTRAST, NEEDS_CHROMIUM, Tab, browser
from tests.hcp.pages.compare_pairs import NAMES, make_pairs

pytestmark = [
    pytest.mark.slow,
    NEEDS_CHROMIUM,
]

PAIRS, CHECKS, SHOWN = 11, 1, 15  # with the 3 that are shown twice

BLUE = """(() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", {willReadFrequently: true});
  return [...document.querySelectorAll(".frame img")].map((image) => {
    canvas.drawImage(image, 0, 0, 1, 1);
    const [red, , blue] = canvas.getImageData(0, 0, 1, 1).data;
    return blue > red;
  });
})()"""


@dataclass
class Rater:
    """Somebody at the page."""

    tab: Tab
    folder: Path
    page: ComparePage
    url: str

    def start(self, name: str) -> None:
        self.tab.open(self.url)
        self.tab.wait("document.activeElement.id === 'rater'")
        self.tab.run("document.getElementById('rater').value = ''")  # what a reload restored
        self.tab.type(name)
        self.tab.wait(f"document.getElementById('rater').value === {json.dumps(name)}")
        self.tab.press("Enter")
        self.wait_for(1)

    def wait_for(self, number: int) -> None:
        """Until that pair is there, and long enough to be voted on."""
        self.tab.wait(
            f"!document.getElementById('vote').hidden && "
            f"document.getElementById('at').textContent === '{number}' && "
            "document.querySelectorAll('.frame img').length === 2"
        )
        time.sleep(0.2)

    def at(self) -> int:
        return int(self.tab.run("document.getElementById('at').textContent"))

    def kept(self) -> dict[str, Any]:
        """Of the browser's storage, each rater's sitting by name."""
        text = self.tab.run(f"localStorage.getItem('hcp-votes:{self.page.key.page}')")
        return {each["rater"]: each for each in json.loads(text or "{}").values()}

    def saved(self, name: str) -> bytes:
        path = self.folder / f"votes-{self.page.key.page}-{name}.json"
        end = time.monotonic() + 20
        while not path.exists():
            assert time.monotonic() < end, sorted(self.folder.iterdir())
            time.sleep(0.05)
        return path.read_bytes()

    def finish(self) -> None:
        """The rest, always for b: for the blue picture, where there is one."""
        for number in range(self.at(), SHOWN + 1):
            self.wait_for(number)
            blue = self.tab.run(BLUE)
            same = blue[0] == blue[1]
            self.tab.press("ArrowDown" if same else "ArrowLeft" if blue[0] else "ArrowRight")
        self.tab.wait("!document.getElementById('done').hidden")


@pytest.fixture(scope="module")
def tab_and_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Tab, Path]]:
    folder = tmp_path_factory.mktemp("browser")
    with browser(folder) as tab:
        yield tab, folder


@pytest.fixture
def rater(tab_and_folder: tuple[Tab, Path], tmp_path: Path) -> Iterator[Rater]:
    """At a page of its own, so that the browser knows nothing of it yet."""
    tab, folder = tab_and_folder
    config = ComparePageConfig(checks=CHECKS, question=f"Which is better, {tmp_path.name}?")
    page = compare_page(make_pairs(PAIRS), **NAMES, config=config)
    (tmp_path / "page.html").write_text(page.html, encoding="utf-8")
    tab.size(1280, 800)
    tab.scheme("light")
    tab.requests.clear()
    yield Rater(tab, folder, page, (tmp_path / "page.html").as_uri())
    assert tab.complaints == []
    assert {url.split(":")[0] for url in tab.requests} <= {"file", "data", "blob"}


def counted(rater: Rater, *names: str) -> VoteReport:
    key = rater.page.key
    ballots, refused = collect_ballots([(name, rater.saved(name)) for name in names], key)
    assert not refused
    return count_votes(key, ballots, n_resamples=100)


def test_a_sitting_by_keyboard_gives_votes_that_count(rater: Rater) -> None:
    rater.start("anna")
    rater.finish()
    rater.tab.run("document.getElementById('save').click()")
    report = counted(rater, "anna")
    assert (report.votes["b"], report.votes["a"], report.n_pairs) == (PAIRS, 0, PAIRS)
    assert report.win_rate.mean == 1
    (anna,) = report.raters
    assert anna.complete
    # A repeated check is no repeat of a pair.
    assert anna.consistency.count == anna.consistency.of in (2, 3)
    assert (anna.checks.count, anna.checks.of) == (0, 1)  # called a tie
    assert anna.seconds is not None
    assert 0.15 < anna.seconds < 20
    assert 0 < report.left.count < report.left.of  # sides differ


def test_every_key_says_what_it_stands_for(rater: Rater) -> None:
    rater.start("keys")
    keys = ("a", "B", "1", "2", "ArrowLeft", "ArrowRight", "ArrowDown", " ", "x")
    for number, key in enumerate(keys, 1):
        rater.wait_for(number)
        rater.tab.press(key)
    rater.wait_for(len(keys) + 1)
    said = [
        vote["choice"] if vote["choice"] in ("tie", "cannot_say") else
        "left" if vote["choice"] == vote["left"] else "right"
        for vote in rater.kept()["keys"]["votes"]
    ]  # fmt: skip
    assert said == ["left", "right"] * 3 + ["tie", "tie", "cannot_say"]
    for key in ("Backspace", "u"):
        rater.tab.press(key)
    rater.wait_for(len(keys) - 1)
    assert len(rater.kept()["keys"]["votes"]) == len(keys) - 2
    for key in ("q", "Enter", "Shift"):
        rater.tab.press(key)
    rater.tab.press("ArrowLeft", held=True)  # a key that is held is one vote, the first
    assert rater.at() == len(keys) - 1


def test_a_closed_tab_loses_nothing_and_undo_shows_the_same_pair(rater: Rater) -> None:
    rater.start("ben")
    for number in (1, 2, 3):
        rater.wait_for(number)
        rater.tab.press("ArrowRight")
    rater.wait_for(4)
    pair = "[...document.querySelectorAll('.frame img')].map((image) => image.src).join()"
    before = rater.tab.run(pair)
    rater.tab.open("about:blank#closed")
    rater.tab.open(rater.url)
    rater.tab.wait("document.querySelector('#sessions button')?.textContent === 'ben3 of 15'")
    rater.tab.click("#sessions button")
    rater.wait_for(4)
    assert rater.tab.run(pair) == before
    rater.tab.press("ArrowDown")
    rater.wait_for(5)
    rater.tab.press("Backspace")
    rater.wait_for(4)
    assert rater.tab.run(pair) == before
    assert len(rater.kept()["ben"]["votes"]) == 3


def test_raters_see_other_orders_and_sides_and_one_browser_keeps_both(rater: Rater) -> None:
    for name in ("carl", "dora"):
        rater.start(name)
        rater.finish()
    kept = rater.kept()
    assert set(kept) == {"carl", "dora"}
    carl, dora = kept["carl"], kept["dora"]
    assert carl["seed"] != dora["seed"]
    assert [v["pair"] for v in carl["votes"]] != [v["pair"] for v in dora["votes"]]
    for sitting in (carl, dora):
        first = {v["pair"]: v["left"] for v in sitting["votes"] if not v["repeat"]}
        again = {v["pair"]: v["left"] for v in sitting["votes"] if v["repeat"]}
        assert len(first) == PAIRS + CHECKS
        assert len(again) == 3
        assert all(first[pair] != left for pair, left in again.items())


def test_buttons_work_with_tab_and_enter_and_leave_the_keys_alone_after_a_click(
    rater: Rater,
) -> None:
    rater.start("emil")
    rater.tab.run("document.querySelector('footer button[data-choice=tie]').focus()")
    assert "solid" in rater.tab.run("getComputedStyle(document.activeElement).outline")
    rater.tab.press("Enter")
    rater.wait_for(2)
    rater.tab.press(" ")  # presses the button that has the focus, once
    rater.wait_for(3)
    rater.tab.click("footer button[data-choice=right]")
    rater.wait_for(4)
    rater.tab.press(" ")  # after a click it is the page's key again
    rater.wait_for(5)
    rater.tab.click("footer button[data-choice=cannot_say]")
    rater.wait_for(6)
    rater.tab.click("#undo")
    rater.wait_for(5)
    votes = rater.kept()["emil"]["votes"]
    assert [vote["choice"] for vote in votes[:2]] == ["tie", "tie"]
    assert votes[2]["choice"] in ("first", "second")
    assert votes[3]["choice"] == "tie"
    assert len(votes) == 4
    names = rater.tab.call("Accessibility.getFullAXTree")["nodes"]
    spoken = {n["name"]["value"] for n in names if n.get("role", {}).get("value") == "button"}
    assert any(name.startswith("1 is better") or name.endswith("1 is better") for name in spoken)
    images = [n["name"]["value"] for n in names if n.get("role", {}).get("value") == "image"]
    assert images[:2] == ["Picture 1", "Picture 2"]


def test_a_click_chooses_and_a_held_press_magnifies(rater: Rater) -> None:
    rater.start("fay")
    rater.tab.click(".frame[data-choice=right]")
    rater.wait_for(2)
    place = rater.tab.centre(".frame[data-choice=left]")
    rater.tab.mouse("mouseMoved", "mousePressed", at=place)
    rater.tab.wait("document.querySelector('#stage.magnified')")
    rater.tab.mouse("mouseReleased", at=place)
    rater.tab.wait("!document.querySelector('#stage.magnified')")
    assert rater.at() == 2
    rater.tab.press("m")
    rater.tab.wait("document.querySelector('#stage.magnified')")
    rater.tab.press("m")
    rater.tab.wait("!document.querySelector('#stage.magnified')")
    assert len(rater.kept()["fay"]["votes"]) == 1


@pytest.mark.parametrize("size", [(390, 844), (390, 600), (844, 390), (320, 568)])
def test_a_phone_shows_it_all_and_takes_taps(rater: Rater, size: tuple[int, int]) -> None:
    rater.tab.size(*size, phone=True)
    rater.start("gus")
    rater.tab.tap(".frame[data-choice=left]")
    rater.wait_for(2)
    rater.tab.tap("footer button[data-choice=tie]")
    rater.wait_for(3)
    votes = rater.kept()["gus"]["votes"]
    assert votes[0]["choice"] == votes[0]["left"]
    assert votes[1]["choice"] == "tie"
    boxes = rater.tab.run(
        "[...document.querySelectorAll('#vote button, .frame')].map((node) => node"
        ".getBoundingClientRect()).map(({left, top, right, bottom}) => [left, top, right, bottom])"
    )
    for left, top, right, bottom in boxes:
        assert left >= 0
        assert top >= 0
        assert right <= size[0]
        assert bottom <= size[1]
        assert min(right - left, bottom - top) >= 44  # what a finger hits
    scrolls = "document.documentElement.scrollWidth > innerWidth"
    assert not rater.tab.run(scrolls)
    rater.tab.open(rater.url)
    assert not rater.tab.run(scrolls)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_contrast(rater: Rater, scheme: str) -> None:
    rater.tab.scheme(scheme)
    rater.start("hal")
    assert rater.tab.run(LOW_CONTRAST) == []
    rater.finish()
    assert rater.tab.run(LOW_CONTRAST) == []
    rater.tab.open(rater.url)
    rater.tab.wait("document.querySelector('#sessions button')")
    assert rater.tab.run(LOW_CONTRAST) == []


def test_votes_can_be_saved_before_the_end_copied_and_changed(rater: Rater) -> None:
    rater.start("ida")
    rater.tab.press("ArrowLeft")
    rater.wait_for(2)
    rater.tab.click("#save-now")
    (early,) = counted(rater, "ida").raters
    assert not early.complete
    rater.finish()
    rater.tab.run("document.getElementById('copy').click()")
    rater.tab.wait("/copy|Copied/.test(document.getElementById('told').textContent)")
    text = json.loads(rater.tab.run("document.getElementById('text').value"))
    assert text["complete"]
    assert len(text["votes"]) == SHOWN
    rater.tab.click("#again")
    rater.wait_for(SHOWN)
    rater.tab.press("x")
    rater.tab.wait("!document.getElementById('done').hidden")
    assert rater.kept()["ida"]["votes"][-1]["choice"] == "cannot_say"


def test_a_browser_that_keeps_nothing_says_so(rater: Rater) -> None:
    script = rater.tab.call(
        "Page.addScriptToEvaluateOnNewDocument",
        source="Object.defineProperty(window, 'localStorage', {get() { throw new Error('no'); }})",
    )["identifier"]
    try:
        rater.start("jon")
        assert rater.tab.run("document.getElementById('unsaved').checkVisibility()")
        rater.finish()
        assert re.search("15 answers from jon", rater.tab.run("document.body.innerText"))
    finally:
        rater.tab.call("Page.removeScriptToEvaluateOnNewDocument", identifier=script)


def test_time_with_the_page_out_of_sight_does_not_count(rater: Rater) -> None:
    rater.start("kim")
    hide = (
        "Object.defineProperty(document, 'hidden', {{value: {}, configurable: true}});"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    rater.tab.run(hide.format("true"))
    time.sleep(1.5)
    rater.tab.run(hide.format("false"))
    rater.tab.press("ArrowLeft")
    rater.wait_for(2)
    assert rater.kept()["kim"]["votes"][0]["ms"] < 1500
