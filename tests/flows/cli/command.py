"""The command line in this process: its libraries are imported once for all tests."""

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from flows.cli.app import app, main


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """How ``hcp`` ended for who typed it."""

    returncode: int
    stdout: str
    stderr: str


def hcp(*arguments: str | Path) -> Result:
    """Run a command; a mistake is its ``exception``."""
    return CliRunner().invoke(app, [str(each) for each in arguments])


def typed(*arguments: str | Path) -> Done:
    """Run ``hcp`` as a whole: a mistake is a message and an exit code."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["hcp", *(str(each) for each in arguments)])
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
    return Done(returncode=code, stdout=out.getvalue(), stderr=err.getvalue())
