"""What the commands print: plain lines, as they are, so that a script can read them."""

import io
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn

import typer


def show_any_name() -> None:
    """Let stdout and stderr take names that are no text of their encoding, such as old ones."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            whole = stream.encoding.lower().replace("-", "") == "utf8"
            stream.reconfigure(errors="surrogateescape" if whole else "backslashreplace")


def say(line: object) -> None:
    """One line on stdout, neither wrapped nor marked up: paths come out as they are."""
    typer.echo(str(line))


def say_table(rows: Sequence[Mapping[str, object]]) -> None:
    """Rows of the same columns, aligned under their names."""
    if not rows:
        return
    lines = [list(rows[0]), *([_cell(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        say("  ".join(map(str.ljust, line, widths)).rstrip())


def note(message: str) -> None:
    """What a user should know, on stderr."""
    typer.secho(f"warning: {message}", fg="yellow", err=True)


def fail(message: str) -> NoReturn:
    """A user's mistake: one clear message on stderr, and exit code 2."""
    typer.secho(f"error: {message}", fg="red", err=True)
    raise SystemExit(2)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if isinstance(value, float) else str(value)
