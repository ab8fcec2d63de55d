"""What a flow run shows in the Prefect UI: progress, tables, pictures.

None of it is worth the work that it tells of: a server that is away is warned of and tried again,
and no error of it reaches the flow.
"""

import base64
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import quote

from prefect import get_run_logger
from prefect.artifacts import (
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)

from flows.steps import Step, tell
from storage.background import Background

MIN_INTERVAL_S = 2.0  # each update is an API call and an event in the server's database
LOG_SHARE, LONGEST_LOG_S = 0.05, 60.0  # of the time so far, between two lines of the log
PATIENCE_S = 90.0  # for a server that is away, of each table and picture
AFTER_ERROR_S = 5.0  # where the work has failed, or was cancelled
SERVER = "the Prefect UI"

Cell = str | int | float | None


class Progress:
    """A progress bar in the UI and log lines on the console, both throttled.

    The bar is moved by a thread of its own, so that no update waits for the server; ``close``
    waits for what is on its way.
    """

    def __init__(self, key: str, *, total: int, unit: str) -> None:
        self._key, self._total, self._unit = key, max(total, 1), unit
        self._start = self._last = self._logged = time.monotonic()
        self._from = 0
        self._artifact: Any = None
        self._sender = Background[tuple[float, str]](
            self._show, to=f"{SERVER} ({key})", say=get_run_logger().warning
        )
        self._sender.put((0.0, f"0/{total}" if total else "starting"))

    def begin(self, done: int, *, total: int | None = None) -> None:
        """Count the time from now: a start-up and what an earlier run has done tell no rate.

        Args:
            done: of the total.
            total: where it was not known before.
        """
        self._start, self._from = time.monotonic(), done
        self._total = max(total, 1) if total is not None else self._total

    def update(self, done: int, note: str = "") -> None:
        """Show ``done`` of the total; calls closer than two seconds apart are left out.

        The log has a line of it often at first, and each minute later.
        """
        now = time.monotonic()
        if now - self._last < MIN_INTERVAL_S and done < self._total:
            return
        self._last = now
        parts = [f"{done}/{self._total} {self._unit}", note, self._left(now, done)]
        text = ", ".join(part for part in parts if part)
        tell(Step(self._key, done, self._total, text))
        if done >= self._total or now - self._logged >= self._log_pause(now):
            self._logged = now
            get_run_logger().info("%s: %s", self._key, text)
        self._sender.put((100.0 * done / self._total, text))

    def close(self, patience_s: float = PATIENCE_S) -> None:
        """Show the last state, where the server is there or comes back in time."""
        self._sender.close(patience_s)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.close(PATIENCE_S if kind is None else AFTER_ERROR_S)

    def _show(self, states: Sequence[tuple[float, str]]) -> None:
        progress, text = states[-1]
        if self._artifact is None:
            self._artifact = create_progress_artifact(progress, key=self._key, description=text)
        else:
            update_progress_artifact(self._artifact, progress=progress, description=text)

    def _log_pause(self, now: float) -> float:
        return min(max(MIN_INTERVAL_S, LOG_SHARE * (now - self._start)), LONGEST_LOG_S)

    def _left(self, now: float, done: int) -> str:
        if done <= self._from and done < self._total:
            return ""
        each_s = (now - self._start) / max(done - self._from, 1)
        return f"{duration(each_s * (self._total - done))} left"


def duration(seconds: float) -> str:
    """A time as people say it, to the digit that counts."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 120:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours / 24:.1f} days"


def publish_table(key: str, rows: Sequence[Mapping[str, Cell]], *, description: str) -> None:
    """A table artifact, one row per mapping; waited for, but not for ever."""
    _patiently(key, partial(send_table, key, rows, description=description))


def publish_markdown(key: str, text: str, *, description: str) -> None:
    """A markdown artifact; waited for, but not for ever."""
    _patiently(key, partial(send_markdown, key, text, description=description))


def preformatted(lines: Iterable[str]) -> str:
    """Markdown that shows lines as they are, whatever stands in them."""
    return "\n".join(f"    {line}" for line in lines)


def publish_picture(key: str, image_jpeg: bytes, *, description: str) -> None:
    """A picture, sent inline so that the UI needs no route to the storage; not waited for long."""
    _patiently(key, partial(send_picture, key, image_jpeg, description=description))


def publish_link(key: str, url: str, *, description: str) -> None:
    """A link, whatever stands in the URL; waited for, but not for ever."""
    link = quote(url, safe="/:?#&=%+@~,;!$")  # blanks and brackets would end a link of markdown
    text = re.sub(r"([\\\[\]])", r"\\\1", url)
    send = partial(create_link_artifact, link=link, link_text=text, key=key)
    _patiently(key, partial(send, description=description))


def send_table(key: str, rows: Sequence[Mapping[str, Cell]], *, description: str) -> None:
    """A table artifact, at once; raises what the server or the way to it does."""
    create_table_artifact(table=[dict(row) for row in rows], key=key, description=description)


def send_markdown(key: str, text: str, *, description: str) -> None:
    """A markdown artifact, at once; raises what the server or the way to it does."""
    create_markdown_artifact(markdown=text, key=key, description=description)


def send_picture(key: str, image_jpeg: bytes, *, description: str) -> None:
    """A picture, at once; raises what the server or the way to it does."""
    url = "data:image/jpeg;base64," + base64.b64encode(image_jpeg).decode()
    create_image_artifact(image_url=url, key=key, description=description)


def _patiently(key: str, send: Callable[[], object]) -> None:
    def receive(_: object) -> None:
        send()

    sender = Background[None](receive, to=f"{SERVER} ({key})", say=get_run_logger().warning)
    sender.put(None)
    sender.close(PATIENCE_S)
