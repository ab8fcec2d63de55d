"""Colours where they are wanted, and lines as they are."""

import os
import pty
import subprocess
import sys

import pytest

from tests.flows.flow_samples import ROOT


@pytest.mark.parametrize(
    ("variables", "coloured"),
    [
        ({"TERM": "xterm"}, True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False),
        ({"TERM": "dumb"}, False),
    ],
)
def test_an_error_is_red_where_colours_are_wanted(
    variables: dict[str, str], coloured: bool
) -> None:
    master, slave = pty.openpty()  # a terminal
    kept = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    done = subprocess.run(
        [sys.executable, "-m", "flows", "promote", "x"], cwd=ROOT, env=kept | variables,
        stdout=subprocess.DEVNULL, stderr=slave, timeout=100, check=False,
    )  # fmt: skip
    os.close(slave)
    said = os.read(master, 4096).decode()
    os.close(master)
    assert done.returncode == 2
    assert ("\x1b[31m" in said) is coloured
    assert "promote: expected NAME/VERSION, got 'x'" in said
