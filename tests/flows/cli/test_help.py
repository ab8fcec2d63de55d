"""What help looks like, examples that the command line takes, and how a command ends early."""

import os
import signal
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

from flows.cli.app import COMMANDS, app
from flows.cli.examples import EXAMPLES
from tests.flows.flow_samples import ROOT

NAMES = [each.__name__.replace("_", "-") for group in COMMANDS.values() for each in group]


@pytest.mark.parametrize("name", NAMES)
def test_help_shows_the_examples_as_they_are(name: str) -> None:
    for width in ("20", "80", "200"):
        done = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": width})
        assert done.exit_code == 0
        assert "".join(f"  {line}\n" for line in EXAMPLES[name].splitlines()) in done.output


def test_the_commands_stand_under_headings_and_no_sentence_is_cut() -> None:
    shown = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "80"}).output
    places = [shown.index(f"\n{heading}:\n") for heading in COMMANDS]
    assert places == sorted(places)
    assert "..." not in shown.partition("Start:")[2]
    assert max(map(len, shown.splitlines())) <= 80


def test_the_version_is_one_line() -> None:
    from importlib.metadata import version

    assert CliRunner().invoke(app, ["--version"]).output == f"hcp {version('hcp')}\n"


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["weights"]])
def test_a_reader_that_has_gone_ends_it_without_a_word(arguments: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "flows", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, stdout=write, stderr=subprocess.PIPE, timeout=100, check=False
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


LONG = """
import time
from flows.cli.app import app, main
from flows.cli.help import HelpCommand

@app.command("long", cls=HelpCommand)
def long() -> None:
    print("started", flush=True)
    time.sleep(100)

main()
"""


def _heed_ctrl_c() -> None:
    # What a shell starts in the background ignores it, and so would its children.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_ctrl_c_ends_it_with_a_line_and_130() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", LONG, "long"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=_heed_ctrl_c,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.startswith("warning: stopped by Ctrl-C")
    assert "Traceback" not in said
