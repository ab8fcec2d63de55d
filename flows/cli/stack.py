"""``hcp up``, ``hcp down``, ``hcp status``: a local stack with everything that flows need."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.console import say, say_json, say_table
from flows.cli.options import AsJson

if TYPE_CHECKING:
    from flows.stack.state import StackState

Folder = Annotated[
    Path | None,
    typer.Option("--dir", help="Where all of its data is; default HCP_HOME, or ~/.hcp."),
]
Port = Annotated[
    int | None,
    typer.Option(min=0, metavar="N", help="0: any free one; default as the last time."),
]


# A place that is not given keeps what the Prefect variable has, or takes $HCP_SOURCE and so on.
Source = Annotated[str | None, typer.Option(help="Deployments': photos.")]
Root = Annotated[str | None, typer.Option(help="Deployments': dataset root.")]
Base = Annotated[str | None, typer.Option(help="Deployments': base model.")]
Runs = Annotated[str | None, typer.Option(help="Deployments': trainings.")]
Reports = Annotated[str | None, typer.Option(help="Deployments': reports.")]
Pool = Annotated[str | None, typer.Option(help="Work pool; default as the last time, or hcp.")]
Database = Annotated[
    str | None,
    typer.Option(
        envvar="PREFECT_API_DATABASE_CONNECTION_URL",
        help="Of Prefect: postgresql://USER:PASSWORD@HOST/NAME; default SQLite in the folder.",
    ),
]
MlflowDatabase = Annotated[
    str | None,
    typer.Option(
        envvar="HCP_MLFLOW_DATABASE",
        help="Of MLflow, another one: postgresql://...; default SQLite in the folder.",
    ),
]
OtherRay = Annotated[
    str | None, typer.Option(help="A Ray cluster that is there, instead of a head of its own.")
]
Limit = Annotated[float, typer.Option(min=1, help="Wait so many seconds until all is ready.")]


def up(
    folder: Folder = None,
    source: Source = None,
    root: Root = None,
    base: Base = None,
    runs: Runs = None,
    reports: Reports = None,
    prefect_port: Port = None,
    mlflow_port: Port = None,
    ray_port: Port = None,
    ray_dashboard_port: Port = None,
    ray_client_port: Port = None,
    ray_agent_port: Port = None,
    pool: Pool = None,
    database: Database = None,
    mlflow_database: MlflowDatabase = None,
    ray_address: OtherRay = None,
    limit_s: Limit = 300,
    as_json: AsJson = False,
) -> None:
    """Start Prefect, a worker, the deployments, Ray and MLflow on this machine, on loopback.

    What runs already is left as it is; after a reboot the same command brings all of it back.
    """
    from flows.stack.config import stack_folder
    from flows.stack.settle import Wish
    from flows.stack.up import bring_up

    places = {"source": source, "root": root, "base": base, "runs": runs, "reports": reports}
    wish = Wish(
        folder=stack_folder(folder),
        ports={"prefect": prefect_port, "mlflow": mlflow_port, "ray": ray_port,
               "ray_dashboard": ray_dashboard_port, "ray_client": ray_client_port,
               "ray_agent": ray_agent_port},
        pool=pool,
        database=database,
        mlflow_database=mlflow_database,
        ray_address=ray_address,
        places={name: value for name, value in places.items() if value},
        limit_s=limit_s,
    )  # fmt: skip
    state = bring_up(wish, _step)
    _show(state, as_json=as_json)
    sys.exit(0 if state.ready else 1)


def down(folder: Folder = None) -> None:
    """Stop all of it; its data stays, and flow runs in progress are cancelled."""
    from flows.stack.config import stack_folder
    from flows.stack.down import take_down

    place = stack_folder(folder)
    count = take_down(place, _step) if place.is_dir() else 0
    say(f"{count} processes ended; the data is in {place}" if count else "nothing runs")


def status(folder: Folder = None, as_json: AsJson = False) -> None:
    """Show what runs, where, and how it is; exit code 1 unless all of it is ready."""
    from flows.stack.config import StackError, remembered, stack_folder
    from flows.stack.state import look

    place = stack_folder(folder)
    config = remembered(place)
    if config is None:
        raise StackError(
            f"there is no stack in {place}: `hcp up` makes one; another folder is --dir or HCP_HOME"
        )
    state = look(config)
    _show(state, as_json=as_json)
    sys.exit(0 if state.ready else 1)


def doctor(folder: Folder = None, as_json: AsJson = False) -> None:
    """Say what is wrong with this machine and its servers, and what to do; exit code 1 if any is.

    Versions, GPU, disk, clock, weights, ports, the Prefect server, its pools, workers and
    schedules, Ray, the model registry.
    """
    from flows.doctor import examine
    from flows.stack.config import stack_folder

    rows = examine(stack_folder(folder))
    if as_json:
        say_json({"checks": rows})
    else:
        say_table([{name: row[name] for name in ("what", "state", "found")} for row in rows])
        for row in rows:
            if row["do"]:
                say(f"{row['state']}: {row['what']}: {row['do']}")
    sys.exit(1 if any(row["state"] == "bad" for row in rows) else 0)


def _show(state: "StackState", *, as_json: bool) -> None:
    from flows.stack.files import environment_file

    if as_json:
        say_json(state.as_json())
        return
    say_table([
        {"service": row.service, "state": row.state, "since (UTC)": row.since, "link": row.link,
         "": row.detail}
        for row in state.rows
    ])  # fmt: skip
    folder = state.config.folder
    say(f"data in {folder}; for this terminal: . {environment_file(folder)}")


def _step(line: str) -> None:
    typer.echo(line, err=True)
