"""Progress bars below the log on a terminal; where there is none, the log's lines are all."""

import logging
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from flows.cli.console import result_alone
from flows.steps import Step, Watcher, watched_by


@contextmanager
def flow_output() -> Generator[None]:
    """Run a flow inside: its steps are bars, and stdout is left for the result."""
    with result_alone(), bars() as show, watched_by(show):
        yield


@contextmanager
def bars() -> Generator[Watcher]:
    """What draws steps on stderr, a bar for each key; nothing where stderr is no terminal."""
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield _nothing
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TextColumn

    texts = [TextColumn(f"{{task.fields[{name}]}}") for name in ("key", "text")]
    drawn: dict[str, TaskID] = {}
    columns = texts[0], BarColumn(bar_width=24), texts[1]
    with Progress(*columns, console=Console(file=sys.stderr), transient=True) as progress:

        def show(step: Step) -> None:
            if step.key not in drawn:
                drawn[step.key] = progress.add_task("", total=step.total, key=step.key, text="")
            progress.update(drawn[step.key], completed=step.done, total=step.total, text=step.text)

        with _log_above():
            yield show


def _nothing(step: Step) -> None:
    """Draw nothing."""


@contextmanager
def _log_above() -> Generator[None]:
    """Let Prefect's log, which holds the stderr of before, print above the bars."""
    found: list[Any] = [each for each in logging.getLogger().handlers if hasattr(each, "console")]
    before = [handler.console.file for handler in found]
    for handler in found:
        handler.console.file = sys.stderr
    try:
        yield
    finally:
        for handler, file in zip(found, before, strict=True):
            handler.console.file = file
