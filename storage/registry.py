"""The model registry on MLflow: versions of checkpoints, their metrics, and the champion."""

import json
import math
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from storage.canonical import canonical_json, plain_json
from storage.checkpoints import verify_checkpoint
from storage.errors import RegistryError
from storage.extras import explained_imports
from storage.locations import exists, normalised

DEFAULT_NAME = "hcp"
CHAMPION = "champion"
URI_SCHEME = "hcp-registry:"

_DIGEST_TAG = "checkpoint_sha256"
_METRICS_TAG = "metrics_json"
_OWN_TAGS = frozenset({_DIGEST_TAG, _METRICS_TAG})
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEntry:
    """One registered checkpoint."""

    name: str
    version: int  # from 1
    uri: str  # of the checkpoint directory
    metrics: Mapping[str, float]
    tags: Mapping[str, str]

    @property
    def registry_uri(self) -> str:
        """``hcp-registry:<name>/<version>``: what :meth:`Registry.resolve` takes."""
        return f"{URI_SCHEME}{self.name}/{self.version}"


class Registry:
    """Versions and the alias ``champion``; who may become champion is decided elsewhere."""

    def __init__(self, tracking_uri: str) -> None:
        """Connect.

        Args:
            tracking_uri: ``sqlite:///<path>``, ``postgresql://...`` or ``http(s)://...``.

        Raises:
            RegistryError: MLflow cannot use it.
        """
        # Both must be set before the import: MLflow reads them then, and asks nobody.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("DO_NOT_TRACK", "true")
        with explained_imports():
            from mlflow import MlflowClient

        self._where = tracking_uri
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

    def register(
        self,
        name: str = DEFAULT_NAME,
        *,
        checkpoint_uri: str,
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
    ) -> ModelEntry:
        """Add a checkpoint as the next version, after its files were read and checked.

        Registering the same checkpoint with the same metrics again gives the version it has.

        Raises:
            CheckpointError: it is unfinished or changed.
            RegistryError: the name is not usable, or the registry refused.
        """
        if not _NAME.fullmatch(name):
            raise RegistryError(f"model name must be letters, digits, '_', '.', '-', got {name!r}")
        place = normalised(checkpoint_uri)
        facts = {
            _DIGEST_TAG: verify_checkpoint(place),
            _METRICS_TAG: canonical_json(plain_json(dict(metrics))),
        }
        for entry in self._entries(name):
            same = all(entry.tags.get(tag) == value for tag, value in facts.items())
            if same and entry.source == place:
                return _entry(entry)
        run_id = self._log_metrics(name, metrics)
        self._ensure_model(name)
        version = self._ask(
            self._client.create_model_version,
            name,
            source=place,
            run_id=run_id,
            tags={key: str(value) for key, value in tags.items()} | facts,
        )
        return _entry(version)

    def get(self, name: str, version: int | str) -> ModelEntry:
        """An entry by number, or the champion.

        Raises:
            RegistryError: there is no such model or version.
        """
        if version == CHAMPION:
            entry = self.champion(name)
            if entry is None:
                raise RegistryError(f"model {name!r} in {self._where} has no champion")
            return entry
        if not str(version).isdecimal():
            raise RegistryError(f"version must be a number or {CHAMPION!r}, got {version!r}")
        return _entry(self._ask(self._client.get_model_version, name, str(version)))

    def champion(self, name: str = DEFAULT_NAME) -> ModelEntry | None:
        """The champion, None where the model has none or does not exist."""
        from mlflow.exceptions import MlflowException

        try:
            return _entry(self._client.get_model_version_by_alias(name, CHAMPION))
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise RegistryError(f"registry {self._where}: {error}") from error

    def promote(self, name: str, version: int | str) -> ModelEntry:
        """Make a version the champion; the alias moves in one step.

        Raises:
            RegistryError: there is no such version.
        """
        entry = self.get(name, version)
        self._ask(self._client.set_registered_model_alias, name, CHAMPION, str(entry.version))
        return entry

    def resolve(self, uri: str) -> str:
        """The checkpoint's location behind ``hcp-registry:<name>/<version|champion>``.

        Raises:
            RegistryError: the URI is malformed, or names nothing, or the checkpoint is gone.
        """
        name, _, version = uri.removeprefix(URI_SCHEME).rpartition("/")
        if not uri.startswith(URI_SCHEME) or not name:
            raise RegistryError(f"expected {URI_SCHEME}<name>/<version|{CHAMPION}>, got {uri!r}")
        place = self.get(name, version).uri
        if not exists(place):
            raise RegistryError(f"{uri} is registered, but its checkpoint is gone: {place}")
        return place

    def _entries(self, name: str) -> list[Any]:
        found: list[Any] = []
        token: str | None = None
        while True:
            page = self._ask(
                self._client.search_model_versions, f"name = '{name}'", page_token=token
            )
            found += page
            token = page.token
            if not token:
                return found

    def _ensure_model(self, name: str) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise RegistryError(f"registry {self._where}: {error}") from error

    def _log_metrics(self, name: str, metrics: Mapping[str, float]) -> str:
        """An MLflow run with the metrics, so that MLflow's own pages can compare versions."""
        from mlflow.entities import Metric

        experiment = self._ask(self._client.get_experiment_by_name, name)
        experiment_id = (
            self._ask(self._client.create_experiment, name)
            if experiment is None
            else experiment.experiment_id
        )
        run = self._ask(self._client.create_run, experiment_id)
        now_ms = int(time.time() * 1000)
        logged = [Metric(key, float(value), now_ms, 0) for key, value in metrics.items()]
        self._ask(self._client.log_batch, run.info.run_id, metrics=logged)
        self._ask(self._client.set_terminated, run.info.run_id)
        return str(run.info.run_id)

    def _ask(self, call: Any, *args: Any, **options: Any) -> Any:
        """Call MLflow; its errors become ours, with the registry's place in the message."""
        from mlflow.exceptions import MlflowException

        try:
            return call(*args, **options)
        except MlflowException as error:
            raise RegistryError(f"registry {self._where}: {error}") from error


def _entry(version: Any) -> ModelEntry:
    tags = dict(version.tags)
    metrics = json.loads(tags.get(_METRICS_TAG, "{}"))
    return ModelEntry(
        name=version.name,
        version=int(version.version),
        uri=version.source,
        metrics={k: math.nan if v is None else v for k, v in metrics.items()},
        tags={key: value for key, value in tags.items() if key not in _OWN_TAGS},
    )
