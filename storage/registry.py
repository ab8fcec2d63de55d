"""The model registry on MLflow: versions of checkpoints, their metrics, and the champion."""

import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from storage.canonical import canonical_json, plain_json
from storage.checkpoints import content_digest, verify_checkpoint
from storage.errors import CheckpointError, RegistryError
from storage.exports import follow, kept_place
from storage.hub import hub_place, is_hub_id
from storage.locations import exists
from storage.mlflow_calls import MlflowCalls, is_missing, model_place, model_source

DEFAULT_NAME = "hcp"
CHAMPION = "champion"
URI_SCHEME = "hcp-registry:"
DEFAULT_FILE = "hcp-registry.db"

_DIGEST_TAG = "checkpoint_sha256"
_METRICS_TAG = "metrics_json"
_FORMER_TAG = "former_champions"  # of the model: JSON list of versions, oldest first
_OWN_TAGS = frozenset({_DIGEST_TAG, _METRICS_TAG})
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def default_tracking_uri(given: str | None = None) -> str:
    """The registry that is meant: the one given, else MLFLOW_TRACKING_URI, else a file here."""
    file = f"sqlite:///{Path(DEFAULT_FILE).resolve()}"
    return given or os.environ.get("MLFLOW_TRACKING_URI") or file


def checkpoint_place(uri: str | os.PathLike[str], tracking_uri: str | None = None) -> str:
    """The directory of a checkpoint: registry URIs and hub ids are looked up, pointers followed.

    A path that exists is never taken for a hub id.

    Raises:
        CheckpointError: a file lies there that is no pointer, or the hub has no such adapter.
        RegistryError: the registry does not know it, or it is not what was registered.
    """
    text = os.fspath(uri)
    if text.startswith(URI_SCHEME):
        return existing(tracking_uri).resolve(text)
    return hub_place(text) if is_hub_id(text) and not exists(text) else follow(text)


def existing(tracking_uri: str | None = None) -> "Registry":
    """The registry of ``default_tracking_uri``, which must be there: asking makes no file.

    Raises:
        RegistryError: it is not there, or MLflow cannot use it.
    """
    where = default_tracking_uri(tracking_uri)
    if is_missing(where):
        raise RegistryError(
            f"there is no registry {where}: give the right one (--registry, or tracking_uri in "
            "Python), or set MLFLOW_TRACKING_URI"
        )
    return Registry(where)


def champion_of(name: str = DEFAULT_NAME, tracking_uri: str | None = None) -> str | None:
    """The place of the champion's checkpoint, checked; None: no champion, or no registry yet.

    Raises:
        RegistryError: the registry cannot be used, or the checkpoint changed or is gone.
    """
    if is_missing(default_tracking_uri(tracking_uri)):
        return None
    registry = Registry(tracking_uri)
    entry = registry.champion(name)
    return None if entry is None else registry.verified(entry).uri


def parse_model(text: str) -> tuple[str, str]:
    """``[hcp-registry:]NAME[/VERSION]`` as (name, version); without a version, that is ""."""
    name, _, version = text.removeprefix(URI_SCHEME).partition("/")
    return name, version


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEntry:
    """One registered checkpoint."""

    name: str
    version: int  # from 1
    uri: str  # of the checkpoint directory
    digest: str  # of its files, when it was registered; "" if another tool than this made the entry
    metrics: Mapping[str, float]
    tags: Mapping[str, str]

    @property
    def registry_uri(self) -> str:
        """``hcp-registry:<name>/<version>``: what :meth:`Registry.resolve` takes."""
        return f"{URI_SCHEME}{self.name}/{self.version}"


class Registry:
    """Versions and the alias ``champion``; who may become champion is decided elsewhere."""

    def __init__(self, tracking_uri: str | None = None) -> None:
        """Connect.

        Args:
            tracking_uri: ``sqlite:///<path>``, ``postgresql://...`` or ``http(s)://...``; None:
                ``default_tracking_uri``.

        Raises:
            RegistryError: MLflow cannot use it.
        """
        self._mlflow = MlflowCalls(default_tracking_uri(tracking_uri))

    def register(
        self,
        name: str = DEFAULT_NAME,
        *,
        checkpoint_uri: str,
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
    ) -> ModelEntry:
        """Add a checkpoint as the next version, after its files were read and checked.

        Registering the same checkpoint with the same metrics again gives the version it has. A
        pointer stands for what it points to; ``hcp-registry:<name>/...`` is the version it names.

        Raises:
            CheckpointError: it is unfinished or changed.
            RegistryError: the name is not usable, or the registry refused.
        """
        if not _NAME.fullmatch(name):
            raise RegistryError(f"model name must be letters, digits, '_', '.', '-', got {name!r}")
        if checkpoint_uri.startswith(f"{URI_SCHEME}{name}/"):
            return self.verified(self.get(*parse_model(checkpoint_uri)))
        place = checkpoint_place(checkpoint_uri, self._mlflow.where)
        facts = {
            _DIGEST_TAG: verify_checkpoint(place),
            _METRICS_TAG: canonical_json(plain_json(dict(metrics))),
        }
        for entry in self._mlflow.versions(name):
            same = all(entry.tags.get(tag) == value for tag, value in facts.items())
            if same and model_place(entry.source) == place:
                return _entry(entry)
        run_id = self._mlflow.log_metrics(name, metrics)
        self._mlflow.ask("create_registered_model", name, unless=("RESOURCE_ALREADY_EXISTS",))
        version = self._mlflow.ask(
            "create_model_version",
            name,
            source=model_source(place, self._mlflow.where),
            run_id=run_id,
            tags={key: str(value) for key, value in tags.items()} | facts,
        )
        return _entry(version)

    def names(self) -> list[str]:
        """The registered models."""
        return self._mlflow.models()

    def entries(self, name: str) -> list[ModelEntry]:
        """Every version of a model, the newest first; none where there is no such model."""
        return sorted(map(_entry, self._mlflow.versions(name)), key=lambda each: -each.version)

    def get(self, name: str, version: int | str) -> ModelEntry:
        """An entry by number, or the champion.

        Raises:
            RegistryError: there is no such model or version.
        """
        if version == CHAMPION:
            entry = self.champion(name)
            if entry is None:
                raise RegistryError(f"model {name!r} in {self._mlflow.place} has no champion")
            return entry
        if not str(version).isdecimal():
            raise RegistryError(f"version must be a number or {CHAMPION!r}, got {version!r}")
        return _entry(self._mlflow.ask("get_model_version", name, str(version)))

    def champion(self, name: str = DEFAULT_NAME) -> ModelEntry | None:
        """The champion, None where the model has none or does not exist."""
        absent = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
        found = self._mlflow.ask("get_model_version_by_alias", name, CHAMPION, unless=absent)
        return None if found is None else _entry(found)

    def promote(self, name: str, version: int | str) -> ModelEntry:
        """Make a version the champion, after its checkpoint was checked; the former is remembered.

        Raises:
            RegistryError: there is no such version, or its checkpoint changed or is gone.
        """
        entry = self.verified(self.get(name, version))
        now = self.champion(name)
        if now is not None and now.version != entry.version:
            self._remember(name, [*self._former(name), now.version])
        self._mlflow.ask("set_registered_model_alias", name, CHAMPION, str(entry.version))
        return entry

    def rollback(self, name: str) -> ModelEntry:
        """Make the former champion the champion again; repeated calls go further back.

        Raises:
            RegistryError: no former champion is remembered, or its checkpoint changed or is gone.
        """
        now, former = self.get(name, CHAMPION), self._former(name)
        while former and former[-1] == now.version:  # left by a call that was broken off
            former.pop()
        if not former:
            raise RegistryError(
                f"model {name!r} in {self._mlflow.place} has no former champion: version "
                f"{now.version} is the first; `hcp promote {name}/VERSION` chooses another"
            )
        entry = self.verified(self.get(name, former[-1]))
        self._mlflow.ask("set_registered_model_alias", name, CHAMPION, str(entry.version))
        self._remember(name, former[:-1])
        return entry

    def resolve(self, uri: str) -> str:
        """The checkpoint's location behind ``hcp-registry:<name>/<version|champion>``.

        Raises:
            RegistryError: the URI is malformed, or names nothing, or the checkpoint is gone or is
                not the one that was registered.
        """
        name, version = parse_model(uri)
        if not uri.startswith(URI_SCHEME) or not name or not version:
            raise RegistryError(f"expected {URI_SCHEME}<name>/<version|{CHAMPION}>, got {uri!r}")
        return self.verified(self.get(name, version)).uri

    def verified(self, entry: ModelEntry) -> ModelEntry:
        """The entry with the place where its checkpoint lies now, byte for byte as registered.

        Raises:
            RegistryError: it changed or is gone; the message has both digests.
        """
        found = ""
        # A folder `latest/` of versions before pointers is kept there by a later training.
        kept = kept_place(entry.uri.rpartition("/")[0], entry.digest)
        for uri in (entry.uri, kept):
            try:
                place = follow(uri)
                digest = content_digest(place)
            except CheckpointError as error:
                found = found or f"none: {error}"
                continue
            if digest == entry.digest or not entry.digest:
                return replace(entry, uri=place)
            found = found or digest
        raise RegistryError(
            f"{entry.registry_uri}: its checkpoint {entry.uri} changed or is gone since it was "
            f"registered: registered sha256 {entry.digest}, found {found}"
        )

    def _former(self, name: str) -> list[int]:
        model = self._mlflow.ask("get_registered_model", name)
        return json.loads(model.tags.get(_FORMER_TAG, "[]"))

    def _remember(self, name: str, versions: list[int]) -> None:
        value = json.dumps(versions)
        self._mlflow.ask("set_registered_model_tag", name, _FORMER_TAG, value)


def _entry(version: Any) -> ModelEntry:
    tags = dict(version.tags)
    metrics = json.loads(tags.get(_METRICS_TAG, "{}"))
    return ModelEntry(
        name=version.name,
        version=int(version.version),
        uri=model_place(version.source),
        digest=tags.get(_DIGEST_TAG, ""),
        metrics={k: math.nan if v is None else v for k, v in metrics.items()},
        tags={key: value for key, value in tags.items() if key not in _OWN_TAGS},
    )
