"""MLflow's client, and its errors as ours with the registry's place in the message."""

import os
import time
from collections.abc import Mapping
from typing import Any

from storage.errors import RegistryError
from storage.extras import explained_imports


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
        if "://" not in tracking_uri or tracking_uri.startswith("file:"):
            raise RegistryError(
                f"registry must be sqlite:///PATH, another SQL URL or http(s)://, "
                f"got {tracking_uri!r}: MLflow keeps no registry in plain files"
            )
        if tracking_uri.startswith("sqlite:///"):
            database = tracking_uri.removeprefix("sqlite:///")
            os.makedirs(os.path.dirname(os.path.abspath(database)), exist_ok=True)
        try:
            self._client: Any = MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)
            self._client.search_registered_models(max_results=1)
        except Exception as error:  # SQLAlchemy, HTTP and MLflow errors
            raise RegistryError(f"registry {tracking_uri} cannot be opened: {error}") from error

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
            raise RegistryError(f"registry {self.where}: {error}") from error

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

    def log_metrics(self, name: str, metrics: Mapping[str, float]) -> str:
        """An MLflow run with the metrics, so that MLflow's own pages can compare versions."""
        from mlflow.entities import Metric

        experiment = self.ask("get_experiment_by_name", name)
        if experiment is None:
            experiment_id = self.ask("create_experiment", name)
        else:
            experiment_id = experiment.experiment_id
            if experiment.lifecycle_stage == "deleted":  # its name stays taken
                self.ask("restore_experiment", experiment_id)
        run = self.ask("create_run", experiment_id)
        now_ms = int(time.time() * 1000)
        logged = [Metric(key, float(value), now_ms, 0) for key, value in metrics.items()]
        self.ask("log_batch", run.info.run_id, metrics=logged)
        self.ask("set_terminated", run.info.run_id)
        return str(run.info.run_id)
