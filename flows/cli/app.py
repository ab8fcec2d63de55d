"""The ``hcp`` command: its subcommands, and how a user's mistake ends."""

import os
from importlib.metadata import version
from typing import Annotated

import typer

from flows.cli import adapters, data, flow_runs, local, nights, people, runs, sources, stack
from flows.cli.console import fail, note, say, settle_streams
from flows.cli.examples import EXAMPLES
from flows.cli.failures import server_is_away
from flows.cli.help import HelpCommand, HelpGroup
from flows.environment import unknown
from storage.errors import HcpError

COMMANDS = {
    "Start": (
        local.demo,
        stack.up,
        stack.down,
        stack.status,
        flow_runs.runs,
        stack.doctor,
        nights.provision,
    ),
    "Data": (
        sources.sources,
        runs.rebuild,
        runs.retry_failed,
        runs.cache,
        data.versions,
        data.inspect,
        data.verify,
        data.gc,
    ),
    "Models": (
        runs.train,
        runs.evaluate,
        runs.ablate,
        local.models,
        local.promote,
        local.rollback,
        local.weights,
    ),
    "Pictures": (adapters.generate, adapters.push, people.compare_page, people.votes),
}
"""By heading, in the order of the help; a function's name is its command's."""

_ENVIRONMENT = {
    # A first start of Prefect's own in-process server takes longer than its default allows.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    # Tries of a request, two minutes in all: a server that restarts ends no run at its last step.
    "PREFECT_CLIENT_MAX_RETRIES": "6",
}

app = typer.Typer(
    name="hcp",
    cls=HelpGroup,
    no_args_is_help=True,
    rich_markup_mode=None,  # its boxes wrap paths, and take brackets for markup
    pretty_exceptions_enable=False,
)
for heading, commands in COMMANDS.items():
    for command in commands:
        name = command.__name__.replace("_", "-")
        add = app.command(name, cls=HelpCommand, epilog=EXAMPLES[name], rich_help_panel=heading)
        add(command)


def show_version(wanted: bool) -> None:
    """Print the version and end, where it is wanted."""
    if wanted:
        say(f"hcp {version('hcp')}")
        raise typer.Exit


@app.callback()
def hcp(
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=show_version, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Human-centric Prior fine-tuning: priors at scale, training, evaluation, registry."""
    for name, said in unknown(os.environ):
        note(f"{name}: {said}")


def main() -> None:
    """Run the command line; a user's mistake ends with one clear message and exit code 2."""
    settle_streams()
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        app(prog_name="hcp")
    except HcpError as error:
        fail(str(error))
    except Exception as error:
        said = server_is_away(error, os.environ.get("PREFECT_API_URL"))
        if said is None:
            raise
        fail(said)
