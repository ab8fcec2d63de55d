"""A real browser for tests of pages: headless Chromium, driven through its DevTools protocol.

Tests that need it skip where there is no Chromium.
"""

import json
import os
import re
import shutil
import subprocess
import time
from base64 import b64decode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
START_S, ANSWER_S = 90.0, 60.0
KEY_CODES = {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Backspace": 8,
             " ": 32, "Enter": 13, "Tab": 9}  # fmt: skip

LOW_CONTRAST = """(() => {
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const linear = (v) => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
    const [x, y, z] = [r, g, b].map((v) => linear(v / 255));
    return .2126 * x + .7152 * y + .0722 * z;
  };
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const colour = rgb(getComputedStyle(node).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  return [...document.querySelectorAll("body *")].filter((node) =>
    node.checkVisibility() && !node.disabled &&
    [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim())
  ).map((node) => {
    const [one, other] = [light(rgb(getComputedStyle(node).color)), light(behind(node))].sort();
    return [(Math.max(one, other) + .05) / (Math.min(one, other) + .05), node.textContent.trim()];
  }).filter(([ratio]) => ratio < 4.5);
})()"""
"""Texts of the page whose contrast is below AA, with their ratios."""


def chromium() -> str | None:
    """The browser's program: HCP_CHROMIUM, else the first one on the path."""
    given = os.environ.get("HCP_CHROMIUM")
    return given or next(filter(None, map(shutil.which, NAMES)), None)


NEEDS_CHROMIUM = pytest.mark.skipif(chromium() is None, reason="no Chromium (set HCP_CHROMIUM)")
"""The mark of tests that need it."""


class Tab:
    """One page of the browser, and what it complained of."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket, self._number = socket, 0
        self._answers: dict[int, Mapping[str, Any]] = {}
        self.complaints: list[str] = []
        self.requests: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> Mapping[str, Any]:
        """One command of the protocol, and its answer."""
        return self._answer(self._send(method, params))

    def at_once(self, method: str, *each: Mapping[str, Any]) -> None:
        """One command several times, with no time between: a press that is not held."""
        for number in [self._send(method, params) for params in each]:
            self._answer(number)

    def _send(self, method: str, params: Mapping[str, Any]) -> int:
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": params}))
        return self._number

    def _answer(self, number: int) -> Mapping[str, Any]:
        while number not in self._answers:
            message = json.loads(self._socket.recv(timeout=ANSWER_S))
            if "id" in message:
                self._answers[message["id"]] = message
            else:
                self._note(message)
        message = self._answers.pop(number)
        assert "error" not in message, message
        return message["result"]

    def _note(self, message: Mapping[str, Any]) -> None:
        method, params = message.get("method"), message.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.complaints.append(str(params["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning"):
            self.complaints.append(str(params["args"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.complaints.append(params["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])

    def run(self, script: str) -> Any:
        """The value of an expression in the page; a promise is waited for."""
        done = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True,
            userGesture=True,
        )  # fmt: skip
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def wait(self, condition: str, *, seconds: float = 20.0) -> None:
        """Until an expression in the page is true."""
        end = time.monotonic() + seconds
        while not self.run(f"Boolean({condition})"):
            assert time.monotonic() < end, f"never true: {condition}\n{self.state()}"
            time.sleep(0.01)

    def reach(self, condition: str, *, by: str, url: str, seconds: float) -> None:
        """Until an expression is true: ``by`` is done again every few seconds.

        A page that is still loading loses clicks, and one that lost an answer of its server stays
        as it is: every third of the time it is loaded anew from ``url``.
        """
        start = time.monotonic()
        loads = 1
        while not self.run(f"Boolean({condition})"):
            past = time.monotonic() - start
            assert past < seconds, f"never true: {condition}\n{self.state()}"
            if past > loads * seconds / 3:
                loads += 1
                self.open(url)
            self.run(by)
            with suppress(AssertionError):
                self.wait(condition, seconds=5)

    def state(self) -> str:
        """What the page shows and complained of, for a failed test's message."""
        shown = self.run("[location.href, document.visibilityState, document.body.innerText]")
        complaints = "\n".join(text[:300] for text in self.complaints[-8:])
        return "\n".join([*shown[:2], shown[2][:3000], "complaints:", complaints])

    def open(self, url: str) -> None:
        """Load a page and wait for it."""
        self.call("Page.navigate", url=url)
        self.wait("document.readyState === 'complete' && location.href !== 'about:blank'")

    def size(self, width: int, height: int, *, phone: bool = False) -> None:
        """The viewport in CSS px; a phone has touch and no pointer that hovers."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=2 if phone else 1, mobile=phone)  # fmt: skip
        self.call("Emulation.setTouchEmulationEnabled", enabled=phone)

    def scheme(self, name: str) -> None:
        """Light or dark."""
        feature = {"name": "prefers-color-scheme", "value": name}
        self.call("Emulation.setEmulatedMedia", features=[feature])

    def press(self, key: str, *, held: bool = False) -> None:
        """One key, down and up; ``held``: as the keyboard repeats it."""
        keys: dict[str, Any] = {
            "key": key, "windowsVirtualKeyCode": KEY_CODES.get(key, ord(key[0].upper()))
        }  # fmt: skip
        text = {"text": "\r" if key == "Enter" else key} if len(key) == 1 or key == "Enter" else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", autoRepeat=held, **keys, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", **keys)

    def type(self, text: str) -> None:
        """Text into what has the focus."""
        self.call("Input.insertText", text=text)

    def centre(self, selector: str) -> tuple[float, float]:
        """Of an element, in CSS px."""
        x, y, width, height = self.run(
            f"(({{x, y, width, height}}) => [x, y, width, height])"
            f"(document.querySelector({json.dumps(selector)}).getBoundingClientRect())"
        )
        return x + width / 2, y + height / 2

    def mouse(self, *kinds: str, at: tuple[float, float]) -> None:
        """Events of the mouse, at once: mouseMoved, mousePressed, mouseReleased."""
        self.at_once("Input.dispatchMouseEvent", *(
            {"type": kind, "x": at[0], "y": at[1]}
            | ({} if kind == "mouseMoved" else {"button": "left", "clickCount": 1})
            for kind in kinds
        ))  # fmt: skip

    def click(self, selector: str) -> None:
        """The mouse on an element's middle."""
        self.mouse("mouseMoved", "mousePressed", "mouseReleased", at=self.centre(selector))

    def tap(self, selector: str) -> None:
        """A finger on an element's middle."""
        x, y = self.centre(selector)
        touches = ({"type": "touchStart", "touchPoints": [{"x": x, "y": y}]},
                   {"type": "touchEnd", "touchPoints": []})  # fmt: skip
        self.at_once("Input.dispatchTouchEvent", *touches)

    def picture(self, path: Path) -> None:
        """A PNG of the viewport."""
        path.write_bytes(b64decode(self.call("Page.captureScreenshot", format="png")["data"]))


@contextmanager
def browser(folder: Path) -> Iterator[Tab]:
    """A browser with a profile of its own below a folder; downloads go to ``folder``."""
    program = chromium()
    assert program is not None
    command = [
        program, "--headless", "--remote-debugging-port=0", f"--user-data-dir={folder / 'profile'}",
        "--disable-gpu", "--no-first-run", "--disable-extensions",
        "--disable-background-networking", "--disable-background-timer-throttling",
        "--disable-backgrounding-occluded-windows", "--disable-renderer-backgrounding",
        "--disable-dev-shm-usage", "about:blank",
    ]  # fmt: skip
    if os.geteuid() == 0:
        command.insert(1, "--no-sandbox")  # root has no sandbox of Chromium's
    with (folder / "chromium.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        address = _tab_address(folder, process)
        # Without pings of its own, which a loaded machine answers too late.
        with connect(address, max_size=None, ping_interval=None) as socket:
            tab = Tab(socket)
            tab.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
            yield tab
    finally:
        process.terminate()
        process.wait(timeout=30)


def _tab_address(folder: Path, process: "subprocess.Popen[bytes]") -> str:
    from urllib.request import urlopen

    end = time.monotonic() + START_S
    while time.monotonic() < end and process.poll() is None:
        said = (folder / "chromium.log").read_text(errors="replace")
        if port := re.search(r"listening on ws://127\.0\.0\.1:(\d+)/", said):
            with urlopen(f"http://127.0.0.1:{port[1]}/json/list", timeout=ANSWER_S) as answer:
                pages = [each for each in json.load(answer) if each["type"] == "page"]
            if pages:
                return pages[0]["webSocketDebuggerUrl"]
        time.sleep(0.05)
    raise RuntimeError(f"no browser: {(folder / 'chromium.log').read_text(errors='replace')}")
