"""The examples of each command's help are command lines that it takes."""

import shlex
from typing import Any

import pytest
from typer.main import get_command

from flows.cli.app import COMMANDS, app
from flows.cli.examples import EXAMPLES

NAMES = [each.__name__.replace("_", "-") for group in COMMANDS.values() for each in group]
LINES = [
    (name, line)
    for name, text in EXAMPLES.items()
    for line in text.replace("\\\n", " ").splitlines()
    if not line.startswith("#")
]


def test_every_command_has_examples() -> None:
    assert sorted(EXAMPLES) == sorted(NAMES)
    assert {name for name, _ in LINES} == set(NAMES)


@pytest.mark.parametrize(("name", "line"), LINES, ids=[line[:60] for _, line in LINES])
def test_an_example_is_a_command_line(name: str, line: str) -> None:
    program, command, *arguments = shlex.split(line.partition(" | ")[0], comments=True)
    assert (program, command) == ("hcp", name)
    group: Any = get_command(app)
    context = group.get_command(None, command).make_context(command, arguments)
    assert not context.args
