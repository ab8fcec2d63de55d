"""``hcp runs``: what ran, what runs and what failed, without a browser."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer

from flows.cli import choices
from flows.cli.console import say, say_json, say_table
from flows.cli.options import AsJson


def runs(
    limit: Annotated[int, typer.Option(min=1, help="So many of the latest.")] = 20,
    states: Annotated[
        list[str] | None,
        typer.Option(
            "--state",
            help="Such as running, failed, scheduled; may be repeated; default all.",
            autocompletion=choices.states,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the latest flow runs of the Prefect server: name, state, time, and why one failed."""
    from flows.run_list import list_runs

    found = list_runs(limit=limit, states=[each.lower() for each in states or ()])
    if as_json:
        rows = [asdict(each) | {"started": _time(each.started, "%Y-%m-%dT%H:%M:%SZ")}
                for each in found]  # fmt: skip
        say_json({"runs": rows})
        return
    say_table(
        [
            {
                "started (UTC)": _time(each.started, "%Y-%m-%d %H:%M"),
                "state": each.state,
                "seconds": f"{each.seconds:.0f}",
                "flow": each.flow,
                "run": each.name,
                "page": each.url,
            }
            for each in found
        ]
    )
    for each in found:
        if each.message and each.state.lower() in ("failed", "crashed"):
            say(f"{each.name}: {each.message}")
    say(f"{len(found)} runs")


def _time(moment: datetime | None, shape: str) -> str | None:
    return moment.astimezone(UTC).strftime(shape) if moment else None
