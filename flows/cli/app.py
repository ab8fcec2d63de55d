"""The ``hcp`` command: its subcommands, and how a user's mistake ends."""

import os

import typer

from flows.cli import adapters, local, people, runs, sources
from flows.cli.console import fail, show_any_name
from flows.cli.failures import server_is_away
from storage.errors import HcpError

COMMANDS = (
    local.demo,
    sources.sources,
    runs.rebuild,
    runs.retry_failed,
    runs.cache,
    runs.train,
    runs.evaluate,
    runs.ablate,
    local.promote,
    local.rollback,
    adapters.generate,
    adapters.push,
    people.compare_page,
    people.votes,
    local.inspect,
    local.verify,
    local.gc,
    local.weights,
    local.doctor,
)
"""In the order of the help; a function's name is its command's."""

app = typer.Typer(
    name="hcp",
    help="Human-centric Prior fine-tuning: priors at scale, training, evaluation, registry.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # its boxes wrap paths, and take brackets for markup
    pretty_exceptions_enable=False,
)
for command in COMMANDS:
    app.command(command.__name__.replace("_", "-"))(command)


def main() -> None:
    """Run the command line; a user's mistake ends with one clear message and exit code 2."""
    show_any_name()
    # A first start of Prefect's own in-process server takes longer than its default allows.
    os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "180")
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    # Tries of a request, two minutes in all: a server that restarts ends no run at its last step.
    os.environ.setdefault("PREFECT_CLIENT_MAX_RETRIES", "6")
    try:
        app()
    except HcpError as error:
        fail(str(error))
    except Exception as error:
        said = server_is_away(error, os.environ.get("PREFECT_API_URL"))
        if said is None:
            raise
        fail(said)
