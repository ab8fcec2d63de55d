"""The page of the command line is what the commands say today."""

import os
import subprocess
import sys

from docs.command_line import PAGE, page
from flows.cli.console import CLOSED_PIPE
from flows.cli.examples import EXAMPLES
from tests.flows.flow_samples import ROOT


def test_the_page_is_current() -> None:
    assert page() == PAGE.read_text(encoding="utf-8"), "run: python -m docs.command_line"


def test_it_does_not_depend_on_the_terminal() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from docs.command_line import page; print(page(), end='')"],
        cwd=ROOT, env=os.environ | {"COLUMNS": "40", "NO_COLOR": "1"}, capture_output=True,
        text=True, timeout=100, check=True,
    )  # fmt: skip
    assert done.stdout == PAGE.read_text(encoding="utf-8")


def test_every_example_and_exit_code_stands_there() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for name, lines in EXAMPLES.items():
        assert f"### hcp {name}\n" in text
        assert all(f"  {line}" in text for line in lines.splitlines())
    for code in (0, 1, 2, 130, CLOSED_PIPE, 143):
        assert f"\n| {code} | " in text
