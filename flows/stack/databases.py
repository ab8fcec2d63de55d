"""Databases that a user gives to the stack instead of SQLite files in its folder."""

from urllib.parse import urlsplit

from flows.stack.config import StackError
from storage.mlflow_calls import without_secrets

_POSTGRES, _PORT = ("postgresql", "postgres"), 5432
_SHAPE = "postgresql://USER:PASSWORD@HOST:PORT/NAME"


def for_prefect(url: str) -> str:
    """The URL with the driver that Prefect needs, where it names a PostgreSQL of any driver."""
    scheme, _, rest = url.partition("://")
    return f"postgresql+asyncpg://{rest}" if _is_postgres(scheme) else url


def for_mlflow(url: str) -> str:
    """The URL with the driver that MLflow needs, where it names a PostgreSQL of any driver."""
    scheme, _, rest = url.partition("://")
    return f"postgresql://{rest}" if _is_postgres(scheme) else url


def server_of(url: str, option: str) -> str | None:
    """``host:port`` of the database's server; None where it has none, as SQLite.

    Args:
        url: of the database.
        option: where it was given, for messages, which hold no password.
    Raises:
        StackError: it is no URL of a database.
    """
    scheme, sign, _ = url.partition("://")
    if not sign:
        raise StackError(f"{option}: expected {_SHAPE}, got a text without ://")
    if scheme.startswith("sqlite"):
        return None
    try:
        parts = urlsplit(url)
        host, port, name = parts.hostname, parts.port, parts.path.strip("/")
    except ValueError as error:  # such as a port that is none: a / in the password
        raise StackError(
            f"{option}: expected {_SHAPE}, with %40 for @ and %2F for / in the password: {error}"
        ) from error
    if not _is_postgres(scheme):
        raise StackError(f"{option}: expected {_SHAPE}, got {without_secrets(url)}")
    if not name:
        raise StackError(
            f"{option}: {without_secrets(url)} names no database: make one (createdb NAME), and "
            "add /NAME"
        )
    return f"{host}:{port or _PORT}" if host else None


def _is_postgres(scheme: str) -> bool:
    return scheme.partition("+")[0] in _POSTGRES
