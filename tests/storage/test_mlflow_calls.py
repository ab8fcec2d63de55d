"""Tracking URIs: which are taken, and how they are shown."""

import pytest

from storage.errors import RegistryError
from storage.mlflow_calls import check_tracking_uri, without_secrets
from tests.postgres import PASSWORD


@pytest.mark.parametrize("scheme", ["postgres", "postgresql+asyncpg", "sqlite+aiosqlite"])
def test_another_librarys_name_of_a_database_is_told_with_ours(scheme: str) -> None:
    ours = {"postgres": "postgresql"}.get(scheme, scheme.partition("+")[0])
    with pytest.raises(RegistryError, match=f"MLflow's name of this database is {ours}://") as told:
        check_tracking_uri(f"{scheme}://me:{PASSWORD}@host/db")
    assert "me:" not in str(told.value)


def test_secrets_are_left_out_wherever_a_uri_has_them() -> None:
    for uri, shown in {
        "postgresql://me:pa%2Fss@host/db": "postgresql://***@host/db",
        "postgresql://me:not/quoted@all@host/db": "postgresql://***@host/db",
        "http://host:5000/a@b": "http://host:5000/a@b",
        "postgresql://host/db?user=me&password=pass": "postgresql://host/db?user=me&password=***",
        "postgresql://host/db?PASSWORD=pass&x=1": "postgresql://host/db?PASSWORD=***&x=1",
        "sqlite:////data/a.db": "sqlite:////data/a.db",
        "cannot open 'mysql://a:b@c/d' at all": "cannot open 'mysql://***@c/d' at all",
    }.items():
        assert without_secrets(uri) == shown
