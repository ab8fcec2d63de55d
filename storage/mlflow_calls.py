"""MLflow's client, and its errors as ours with the registry's place in the message."""

import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from storage.errors import RegistryError
from storage.extras import explained_imports

_SQLITE = "sqlite:///"


def check_tracking_uri(uri: str) -> None:
    """See that MLflow could keep a registry there; nothing is asked or made.

    Raises:
        RegistryError: it is a plain folder, or no URI at all.
    """
    if "://" not in uri or uri.startswith("file:"):
        raise RegistryError(
            f"registry must be sqlite:///PATH, another SQL URL or http(s)://, "
            f"got {uri!r}: MLflow keeps no registry in plain files"
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
    """The URI for people: without the user and password of a database or server."""
    return re.sub(r"://[^@/]*@", "://***@", uri)


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
            self._client: Any = MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)
            self._client.search_registered_models(max_results=1)
        except Exception as error:  # SQLAlchemy, HTTP and MLflow errors
            where = without_secrets(tracking_uri)
            raise RegistryError(f"registry {where} cannot be opened: {error}") from error

    def ask(self, call: str, *args: Any, unless: tuple[str, ...] = (), **options: Any) -> Any:
        """Call the client's method of this name; None if it fails with a code of ``unless``.

        Raises:
            RegistryError: it fails otherwise.
        """
        from mlflow.exceptions import MlflowException

        try:
            return getattr(self._client, call)(*args, **options)
        except MlflowException as error:
            if error.error_code in unless:
                return None
            where = without_secrets(self.where)
            raise RegistryError(f"registry {where}: {error}") from error

    def versions(self, name: str) -> list[Any]:
        """Every version of a model, as MLflow has it."""
        found: list[Any] = []
        token: str | None = None
        while True:
            page = self.ask("search_model_versions", f"name = '{name}'", page_token=token)
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
