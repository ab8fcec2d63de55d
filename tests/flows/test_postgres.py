"""Prefect on a real PostgreSQL: what its SQLite locks under, it keeps."""

import contextvars
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from prefect import flow, get_run_logger, task

from flows.artifacts import Progress, publish_table
from flows.server import private_server
from tests.postgres import Postgres

pytestmark = [pytest.mark.prefect, pytest.mark.slow]

RUNS, AT_ONCE, TASKS, LINES = 12, 6, 3, 20


@task
def unit(number: int) -> int:
    for line in range(LINES):
        get_run_logger().info("unit %d, line %d", number, line)
    return number


@flow(name="many-at-once")
def many(run: int) -> int:
    with Progress("extract", total=TASKS, unit="units") as progress:
        done = [unit.submit(number) for number in range(TASKS)]
        total = sum(each.result() for each in done)
        progress.update(TASKS)
    publish_table("rejects", [{"run": run, "units": total}], description="rejects")
    return total


@pytest.fixture(scope="module")
def log(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The log of a server on an empty database, which this module's flows talk to."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    folder = tmp_path_factory.mktemp("on-postgres")
    database = postgres.database("prefect", driver="postgresql+asyncpg")
    with (
        private_server(folder, database=database) as environment,
        temporary_settings({PREFECT_API_URL: environment["PREFECT_API_URL"]}),
    ):
        yield folder / "server.log"


def rows(postgres: Postgres, query: str) -> list[Any]:
    with psycopg2.connect(postgres.url("prefect")) as connection, connection.cursor() as cursor:
        cursor.execute(query)
        found = cursor.fetchall()
    connection.close()
    return found


def test_runs_at_once_lose_nothing_and_schedules_create_runs(postgres: Postgres, log: Path) -> None:
    from prefect.client.orchestration import get_client

    many.to_deployment("nightly", cron="0 2 * * *").apply()
    deployed = time.monotonic()
    contexts = [contextvars.copy_context() for _ in range(RUNS)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        totals = list(pool.map(lambda run: contexts[run].run(many, run), range(RUNS)))
    assert totals == [sum(range(TASKS))] * RUNS

    states = "SELECT name, count(*) FROM {} WHERE state_type = 'COMPLETED' GROUP BY name"
    assert len(rows(postgres, states.format("flow_run"))) == RUNS
    # Prefect's client hands in task runs and log lines behind the flows' backs.
    tasks = "SELECT count(*) FROM task_run WHERE state_type = 'COMPLETED'"
    _until(lambda: rows(postgres, tasks) == [(RUNS * TASKS,)], 60)
    kinds = "SELECT key, count(DISTINCT flow_run_id) FROM artifact WHERE key IS NOT NULL GROUP BY 1"
    assert dict(rows(postgres, kinds)) == {"extract": RUNS, "rejects": RUNS}
    lines = "SELECT count(*) FROM log WHERE message LIKE 'unit %, line %'"
    _until(lambda: rows(postgres, lines) == [(RUNS * TASKS * LINES,)], 60)

    with get_client(sync_client=True) as client:
        _until(lambda: any(_scheduled(run) for run in client.read_flow_runs(limit=200)), 60)
    print(f"the schedule's runs were there {time.monotonic() - deployed:.0f} s after it")  # noqa: T201
    text = log.read_text()
    assert "locked" not in text
    assert " ERROR " not in text
    assert "Traceback" not in text


def _scheduled(run: Any) -> bool:
    return run.state is not None and run.state.is_scheduled()


def _until(true: Any, limit_s: float) -> None:
    deadline = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.5)
