"""MLflow's client, and its errors as ours with the registry's place in the message."""

import os
import random
import re
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from storage.errors import RegistryError
from storage.extras import explained_imports

_SQLITE = "sqlite:///"
_DRIVERS = {  # what people write, and what MLflow takes
    "postgres": "postgresql",
    "postgresql+asyncpg": "postgresql",  # Prefect's: its server is asynchronous
    "sqlite+aiosqlite": "sqlite",
}
_SERVED = ("postgresql", "mysql", "mssql")  # databases that are servers
_ANSWER_S = 10.0
_TRIES = 4
_LOST_RACE = ("UniqueViolation", "UNIQUE constraint failed", "Duplicate entry")
"""Somebody else wrote the same row at the same time; nothing of the call was kept."""
_HERE = "hcp-path://here/-"
"""Before a path: MLflow's server refuses paths of model versions, and looks at them on its disk."""


def check_tracking_uri(uri: str) -> None:
    """See that MLflow could keep a registry there; nothing is asked or made.

    Raises:
        RegistryError: it is a plain folder, no URI at all, or of a scheme that MLflow has not.
    """
    if "://" not in uri or uri.startswith("file:"):
        raise RegistryError(
            f"registry must be sqlite:///PATH, another SQL URL or http(s)://, "
            f"got {uri!r}: MLflow keeps no registry in plain files"
        )
    scheme, _, rest = without_secrets(uri).partition("://")
    if scheme in _DRIVERS:
        raise RegistryError(
            f"registry {scheme}://{rest}: MLflow's name of this database is {_DRIVERS[scheme]}://"
        )


def sqlite_file(uri: str) -> Path | None:
    """The database file of a ``sqlite:///`` URI; None for any other."""
    if not uri.startswith(_SQLITE):
        return None
    return Path(os.path.abspath(uri.removeprefix(_SQLITE).partition("?")[0]))


def is_missing(uri: str) -> bool:
    """Whether it is a database file that is not there: opening it would make an empty one."""
    file = sqlite_file(uri)
    return file is not None and not file.exists()


def without_secrets(uri: str) -> str:
    """The URI, or a message that holds it, for people: without users and passwords."""
    named = re.sub(r"://(?:[^@/\s]*|[^@/:\s]*:(?!\d+/)[^\s]*)@", "://***@", uri)
    return re.sub(r"(?i)([?&](?:password|passfile|sslpassword|token)=)[^&\s'\"]*", r"\1***", named)


def model_source(place: str, tracking_uri: str) -> str:
    """A checkpoint's place as a model version's source, which ``model_place`` reads."""
    is_path = place.startswith("/") and tracking_uri.startswith(("http://", "https://"))
    return _HERE + place if is_path else place


def model_place(source: str) -> str:
    """The place of a model version's checkpoint."""
    return source.removeprefix(_HERE)


class MlflowCalls:
    """The calls that ``storage.registry`` is made of; loading MLflow takes seconds."""

    def __init__(self, tracking_uri: str) -> None:
        """Connect; see ``Registry``."""
        # Both must be set before the import: MLflow reads them then, and asks nobody.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("DO_NOT_TRACK", "true")
        with explained_imports():
            from mlflow import MlflowClient

        self.where = tracking_uri
        check_tracking_uri(tracking_uri)
        if (database := sqlite_file(tracking_uri)) is not None:
            database.parent.mkdir(parents=True, exist_ok=True)
        try:
            with explained_imports():  # of a database's driver
                _see_that_it_answers(tracking_uri)
            self._client: Any = _first_call(
                lambda: MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)
            )
        except Exception as error:  # SQLAlchemy, HTTP and MLflow errors
            text = f"registry {tracking_uri} cannot be opened: {error}"
            raise RegistryError(without_secrets(text)) from error

    @property
    def place(self) -> str:
        """Where it is, for people."""
        return without_secrets(self.where)

    def ask(self, call: str, *args: Any, unless: tuple[str, ...] = (), **options: Any) -> Any:
        """Call the client's method of this name; None if it fails with a code of ``unless``.

        Raises:
            RegistryError: it fails otherwise.
        """
        from mlflow.exceptions import MlflowException

        for attempt in range(1, _TRIES + 1):
            try:
                return getattr(self._client, call)(*args, **options)
            except MlflowException as error:
                if error.error_code in unless:
                    return None
                if attempt < _TRIES and any(sign in str(error) for sign in _LOST_RACE):
                    time.sleep(random.uniform(0.1, 0.5) * attempt)
                    continue
                raise RegistryError(without_secrets(f"registry {self.where}: {error}")) from error
        raise AssertionError("the last try returns or raises")

    def versions(self, name: str) -> list[Any]:
        """Every version of a model, as MLflow has it."""
        return self._pages("search_model_versions", f"name = '{name}'")

    def models(self) -> list[str]:
        """The names of all models, sorted."""
        return sorted(str(model.name) for model in self._pages("search_registered_models"))

    def _pages(self, call: str, *args: Any) -> list[Any]:
        found: list[Any] = []
        token: str | None = None
        while True:
            page = self.ask(call, *args, page_token=token)
            found += page
            token = page.token
            if not token:
                return found

    def experiment(self, name: str, *, artifacts: str | None = None) -> str:
        """The id of the experiment of this name, which is made, or restored, where it is not there.

        Args:
            artifacts: where the files of a new one's runs go; None: as MLflow has it.
        """
        found = self.ask("get_experiment_by_name", name)
        if found is None:
            kind = {"mlflow.experimentKind": "custom_model_development"}  # which pages it has
            options = {"artifact_location": artifacts, "tags": kind}
            made = self.ask(
                "create_experiment", name, unless=("RESOURCE_ALREADY_EXISTS",), **options
            )
            # Somebody else may have made it since.
            return str(made if made is not None else self.experiment(name))
        if found.lifecycle_stage == "deleted":  # its name stays taken
            self.ask("restore_experiment", found.experiment_id)
        return str(found.experiment_id)

    def restore(self, experiment_id: str, run_id: str) -> bool:
        """Take a run and its experiment out of MLflow's trash; False where neither was there."""
        gone = ("RESOURCE_DOES_NOT_EXIST",)
        found = False
        experiment = self.ask("get_experiment", experiment_id, unless=gone)
        if experiment is not None and experiment.lifecycle_stage == "deleted":
            self.ask("restore_experiment", experiment_id)  # and all its runs
            found = True
        run = self.ask("get_run", run_id, unless=gone)
        if run is not None and run.info.lifecycle_stage == "deleted":
            self.ask("restore_run", run_id)
            found = True
        return found

    def log_metrics(self, name: str, metrics: Mapping[str, float]) -> str:
        """An MLflow run with the metrics, so that MLflow's own pages can compare versions."""
        from mlflow.entities import Metric

        run = self.ask("create_run", self.experiment(name))
        now_ms = int(time.time() * 1000)
        logged = [Metric(key, float(value), now_ms, 0) for key, value in metrics.items()]
        self.ask("log_batch", run.info.run_id, metrics=logged)
        self.ask("set_terminated", run.info.run_id)
        return str(run.info.run_id)


def _first_call(connect: Callable[[], Any]) -> Any:
    """A client that works; it makes the tables of an empty database, as another may do meanwhile.

    MLflow 3.17 has no lock for that on PostgreSQL: who comes second is refused, once.
    """
    for attempt in range(1, _TRIES + 1):
        try:
            client = connect()
            client.search_registered_models(max_results=1)
            return client
        except Exception as error:
            if attempt == _TRIES or "already exists" not in str(error):
                raise
            time.sleep(attempt)
    raise AssertionError("the last try returns or raises")


def _see_that_it_answers(uri: str) -> None:
    """Ask once: MLflow itself asks a database that is away for 102 s, and a server for minutes."""
    scheme = uri.partition(":")[0]
    if scheme in ("http", "https"):
        place = re.sub(r"(?<=://)[^@/]*@", "", uri).rstrip("/")
        try:
            urllib.request.urlopen(f"{place}/health", timeout=_ANSWER_S).close()
        except urllib.error.HTTPError:
            pass  # somebody is there: what it wants is told by MLflow's own calls
        except urllib.error.URLError as error:
            if not isinstance(error.reason, ssl.SSLError):  # MLflow has settings of its own
                raise
    elif scheme.partition("+")[0] in _SERVED:
        from mlflow.store.db.utils import create_sqlalchemy_engine

        engine: Any = create_sqlalchemy_engine(uri)
        try:
            engine.connect().close()
        finally:
            engine.dispose()
