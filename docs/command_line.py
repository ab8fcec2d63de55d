"""Writes docs/cli.md: every command with its options and examples, as ``--help`` shows them.

python -m docs.command_line
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.main import get_command

from flows.cli.app import COMMANDS, app

PAGE = Path(__file__).with_name("cli.md")
WIDTH = 96
HEAD = """\
# Command line

Made from the code by `python -m docs.command_line`. `hcp --help` lists the commands,
`hcp COMMAND --help` shows what stands here.

## What all commands have in common

| exit code | it means |
|---|---|
| 0 | done |
| 1 | a check found something (`verify`, `doctor`, a failed variant of `ablate`), or an error that nobody foresaw, with its traceback |
| 2 | the command line, a setting, a place or the data are not as needed: one message on stderr says what, got, expected, where |
| 130 | Ctrl-C: what was committed is kept, and the same command goes on from it |
| 141 | nobody reads the output any more (`hcp ... \\| head`) |
| 143 | SIGTERM |

- **stdout has the result, stderr the rest**: the log, warnings, progress. With `--json` the result is one JSON document; numbers that are not known (NaN) are `null`.
- **Progress** is a bar below the log where stderr is a terminal, and lines of the log otherwise.
- **Colours** are for terminals; `NO_COLOR=1` or `TERM=dumb` switches them off.
- **Completion**: `hcp --install-completion` in the shell that you use (bash, zsh, fish, PowerShell), then start it anew. Values are completed too: presets, methods, reasons, states, devices.
- **Settings**: `--set`, `--config`, `--preset` and the environment are described in [settings](settings.md); every setting is in [the reference](configuration.md).
"""  # noqa: E501


def page() -> str:
    """The whole page."""
    return "\n".join([HEAD, *_commands()])


def _commands() -> Iterator[str]:
    group: Any = get_command(app)
    for heading, commands in COMMANDS.items():
        yield f"## {heading}\n"
        for function in commands:
            name = function.__name__.replace("_", "-")
            command = group.get_command(None, name)
            context = command.make_context(
                f"hcp {name}", [], resilient_parsing=True, terminal_width=WIDTH
            )
            shown = "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
            yield f"### hcp {name}\n\n```text\n{shown.strip()}\n```\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
