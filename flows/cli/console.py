"""What the commands print: plain lines, as they are, so that a script can read them."""

import io
import json
import os
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import NoReturn

import typer

_DEPTH = 50  # of a document: deeper than any
CLOSED_PIPE = 141
"""The exit code where the reader has gone, as of a program that SIGPIPE ends."""


def settle_streams() -> None:
    """Let stdout and stderr take any name, and colours where they are wanted.

    Names that are no text of the streams' encoding, such as old ones, come out as they are.
    """
    if plain():
        os.environ.setdefault("PREFECT_LOGGING_COLORS", "false")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            whole = stream.encoding.lower().replace("-", "") == "utf8"
            stream.reconfigure(errors="surrogateescape" if whole else "backslashreplace")


def plain() -> bool:
    """Whether colours are not wanted: ``NO_COLOR`` is set, or the terminal has none."""
    return bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"


def say(line: object) -> None:
    """One line on stdout, neither wrapped nor marked up: paths come out as they are.

    Where nobody reads it any more, as behind ``| head``, the command ends without a word.
    """
    with ends_unread():
        typer.echo(str(line))


@contextmanager
def ends_unread() -> Generator[None]:
    """Print inside: where the reader has gone, the process ends with ``CLOSED_PIPE``."""
    try:
        yield
    except BrokenPipeError:
        # What is left in its buffer would be told of when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(CLOSED_PIPE) from None


def say_json(value: object) -> None:
    """One JSON document on stdout: what is not a number in JSON (NaN) is null."""
    from storage.canonical import plain_json

    say(json.dumps(plain_json(value, depth=_DEPTH), indent=1, ensure_ascii=False))


@contextmanager
def result_alone() -> Generator[None]:
    """Work inside: what it prints goes to stderr, so that stdout has the command's result alone."""
    with redirect_stdout(sys.stderr):
        yield


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
    _tell(f"warning: {message}", "yellow")


def fail(message: str) -> NoReturn:
    """A user's mistake: one clear message on stderr, and exit code 2."""
    _tell(f"error: {message}", "red")
    raise SystemExit(2)


def _tell(message: str, colour: str) -> None:
    try:
        typer.secho(message, fg=None if plain() else colour, err=True)
    except BrokenPipeError:  # the exit code still tells
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if isinstance(value, float) else str(value)
