"""Bars on a terminal with the log above them, and nothing of them anywhere else."""

import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.flows.flow_samples import ROOT

RUN = """
import logging, sys
from rich.console import Console
from flows.cli.bars import flow_output
from flows.steps import Step, tell

class Handler(logging.StreamHandler):
    def __init__(self):
        super().__init__()
        self.console = Console(file=self.stream)  # as Prefect's does
    def emit(self, record):
        self.console.print(self.format(record), soft_wrap=True)

logging.getLogger().addHandler(Handler())
with flow_output():
    tell(Step("extract", 3, 10, "3/10 units, 5 s left"))
    logging.getLogger("x").warning("a photo was rejected")
    tell(Step("extract", 10, 10, "10/10 units"))
    print("a chatty library")
logging.getLogger("x").warning("after it")
print("the result")
"""


def on_terminal(*command: str) -> tuple[str, str]:
    """What a command prints on stdout, and on a terminal as stderr."""
    master, slave = pty.openpty()
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, stdout=subprocess.PIPE, stderr=slave, text=True,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "90"}, timeout=100, check=True,
    )  # fmt: skip
    os.close(slave)
    said = b""
    while True:
        try:
            said += (part := os.read(master, 65536))
        except OSError:
            break
        if not part:
            break
    os.close(master)
    return done.stdout, said.decode()


def test_a_terminal_has_bars_with_the_log_above_them() -> None:
    out, said = on_terminal("-c", RUN)
    assert out == "the result\n"
    assert "━" in said
    assert "10/10 units" in said
    for line in ("a photo was rejected\r\n", "a chatty library\r\n", "after it\r\n"):
        assert line in said


def test_a_pipe_has_the_lines_alone() -> None:
    done = subprocess.run(
        [sys.executable, "-c", RUN], cwd=ROOT, capture_output=True, text=True, timeout=100,
        check=True,
    )  # fmt: skip
    assert done.stdout == "the result\n"
    assert done.stderr == "a photo was rejected\na chatty library\nafter it\n"


def test_verify_has_a_bar(fill_root: Any, tmp_path: Path) -> None:
    fill_root(str(tmp_path / "data"))
    out, said = on_terminal("-m", "flows", "verify", str(tmp_path / "data"))
    assert out == "0 problems\n"
    assert "3/3 shards" in said
