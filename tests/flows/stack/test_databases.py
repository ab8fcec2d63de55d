"""A stack whose servers keep their data in a PostgreSQL that is there already."""

import time
from collections.abc import Callable
from pathlib import Path

import httpx
import psycopg2
import pytest

from flows.stack.api import PrefectApi
from flows.stack.config import Ports, StackConfig, StackError
from flows.stack.databases import for_mlflow, for_prefect, server_of
from flows.stack.down import take_down
from flows.stack.ports import any_free
from flows.stack.processes import last_lines, log_file, start
from flows.stack.services import environment, services
from flows.stack.settle import Wish
from flows.stack.state import answers
from flows.stack.up import bring_up
from tests.postgres import Postgres

LIMIT_S = 200


def test_any_driver_will_do() -> None:
    for given in ("postgresql", "postgres", "postgresql+asyncpg", "postgresql+psycopg2"):
        assert for_prefect(f"{given}://me:pw@db/a") == "postgresql+asyncpg://me:pw@db/a"
        assert for_mlflow(f"{given}://me:pw@db/a") == "postgresql://me:pw@db/a"
    assert for_prefect("sqlite+aiosqlite:////a.db") == "sqlite+aiosqlite:////a.db"
    assert server_of("postgresql://me:pw@db/a", "--database") == "db:5432"
    assert server_of("sqlite+aiosqlite:////a.db", "--database") is None


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("prefect", "expected postgresql://USER:PASSWORD@HOST:PORT/NAME, got a text without ://"),
        ("redis://me:secret@db/1", r"got redis://\*\*\*@db/1"),
        ("postgresql://me:secret@db", "names no database: make one"),
        ("postgresql://me:se/cret@db/a", "%2F for / in the password"),
    ],
)
def test_what_is_no_database_is_told_without_its_password(
    url: str, said: str, tmp_path: Path
) -> None:
    for option in ("database", "mlflow_database"):
        with pytest.raises(StackError, match=said) as error:
            bring_up(Wish(folder=tmp_path, **{option: url}), print)
        assert f"--{option.replace('_', '-')}: " in str(error.value)
        assert "secret" not in str(error.value)


def test_a_server_that_is_away_is_told_before_anything_starts(tmp_path: Path) -> None:
    url = f"postgresql://me:secret@127.0.0.1:{any_free()}/prefect"
    with pytest.raises(StackError, match=r"--database: nothing answers at 127.0.0.1:\d+; start"):
        bring_up(Wish(folder=tmp_path, database=url), print)
    assert not (tmp_path / "stack.json").exists()


@pytest.mark.prefect
@pytest.mark.slow
@pytest.mark.timeout(400)
def test_both_servers_use_the_databases_that_are_given(
    postgres: Postgres, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    config = StackConfig(
        folder=tmp_path,
        ports=Ports(prefect=any_free(), mlflow=any_free()),
        database=postgres.database("stack-prefect"),
        mlflow_database=postgres.database("stack-mlflow"),
    )
    servers = [each for each in services(config) if each.name in ("prefect", "mlflow")]
    begun = time.monotonic()
    try:
        for each in servers:
            start(each, tmp_path, environment(config))
        for each in servers:
            while not answers(each, config):
                assert time.monotonic() < begun + LIMIT_S, last_lines(log_file(tmp_path, each.name))
                time.sleep(0.3)
        record_property("ready_s", round(time.monotonic() - begun))
        PrefectApi(config.api_url).make_pool("kept in PostgreSQL")
        made = httpx.post(
            f"{config.mlflow_url}/api/2.0/mlflow/experiments/create", json={"name": "kept"},
            timeout=60, trust_env=False,
        )  # fmt: skip
        made.raise_for_status()
        assert rows(postgres, "stack-prefect", "work_pool") == ["kept in PostgreSQL"]
        assert "kept" in rows(postgres, "stack-mlflow", "experiments")
        begun = time.monotonic()
    finally:
        take_down(tmp_path, print)
    record_property("down_s", round(time.monotonic() - begun, 1))
    assert not list(tmp_path.rglob("*.db"))


def rows(postgres: Postgres, database: str, table: str) -> list[str]:
    login = psycopg2.connect(postgres.url(database))
    with login.cursor() as cursor:
        cursor.execute(f"SELECT name FROM {table}")
        found = [row[0] for row in cursor.fetchall()]
    login.close()
    return found
