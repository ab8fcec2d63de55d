"""What a flow run shows in the Prefect UI: progress, tables, pictures."""

import base64
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from prefect import get_run_logger
from prefect.artifacts import (
    create_image_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)

MIN_INTERVAL_S = 2.0  # each update is an API call and an event in the server's database

Cell = str | int | float | None


class Progress:
    """A progress bar in the UI and log lines on the console, both throttled."""

    def __init__(self, key: str, *, total: int, unit: str) -> None:
        self._key, self._total, self._unit = key, max(total, 1), unit
        self._start = self._last = time.monotonic()
        self._from = 0
        self._artifact: Any = create_progress_artifact(0.0, key=key, description=f"0/{total}")

    def begin(self, done: int) -> None:
        """Count the time from now: a start-up and what an earlier run has done tell no rate."""
        self._start, self._from = time.monotonic(), done

    def update(self, done: int, note: str = "") -> None:
        """Show ``done`` of the total; calls closer than two seconds apart are left out."""
        now = time.monotonic()
        if now - self._last < MIN_INTERVAL_S and done < self._total:
            return
        self._last = now
        parts = [f"{done}/{self._total} {self._unit}", note, self._left(now, done)]
        text = ", ".join(part for part in parts if part)
        get_run_logger().info("%s: %s", self._key, text)
        progress = 100.0 * done / self._total
        update_progress_artifact(self._artifact, progress=progress, description=text)

    def _left(self, now: float, done: int) -> str:
        if done <= self._from and done < self._total:
            return ""
        each_s = (now - self._start) / max(done - self._from, 1)
        return f"{each_s * (self._total - done):.0f} s left"


def publish_table(key: str, rows: Sequence[Mapping[str, Cell]], *, description: str) -> None:
    """A table artifact, one row per mapping."""
    create_table_artifact(table=[dict(row) for row in rows], key=key, description=description)


def publish_markdown(key: str, text: str, *, description: str) -> None:
    """A markdown artifact."""
    create_markdown_artifact(markdown=text, key=key, description=description)


def preformatted(lines: Iterable[str]) -> str:
    """Markdown that shows lines as they are, whatever stands in them."""
    return "\n".join(f"    {line}" for line in lines)


def publish_picture(key: str, image_jpeg: bytes, *, description: str) -> None:
    """A picture, sent inline so that the UI needs no route to the storage."""
    url = "data:image/jpeg;base64," + base64.b64encode(image_jpeg).decode()
    create_image_artifact(image_url=url, key=key, description=description)
