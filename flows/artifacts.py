"""What a flow run shows in the Prefect UI: progress, tables, pictures."""

import base64
import time
from collections.abc import Mapping, Sequence
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
        self._artifact: Any = create_progress_artifact(0.0, key=key, description=f"0/{total}")

    def update(self, done: int, note: str = "") -> None:
        """Show ``done`` of the total; calls closer than two seconds apart are left out."""
        now = time.monotonic()
        if now - self._last < MIN_INTERVAL_S and done < self._total:
            return
        self._last = now
        elapsed_s = now - self._start
        eta_s = elapsed_s / done * (self._total - done) if done else 0.0
        text = f"{done}/{self._total} {self._unit}, {note}{', ' if note else ''}{eta_s:.0f} s left"
        get_run_logger().info("%s: %s", self._key, text)
        progress = 100.0 * done / self._total
        update_progress_artifact(self._artifact, progress=progress, description=text)


def publish_table(key: str, rows: Sequence[Mapping[str, Cell]], *, description: str) -> None:
    """A table artifact, one row per mapping."""
    create_table_artifact(table=[dict(row) for row in rows], key=key, description=description)


def publish_markdown(key: str, text: str, *, description: str) -> None:
    """A markdown artifact."""
    create_markdown_artifact(markdown=text, key=key, description=description)


def publish_picture(key: str, image_jpeg: bytes, *, description: str) -> None:
    """A picture, sent inline so that the UI needs no route to the storage."""
    url = "data:image/jpeg;base64," + base64.b64encode(image_jpeg).decode()
    create_image_artifact(image_url=url, key=key, description=description)
