"""Names of flow runs: what runs, on which dataset version, with which settings.

Prefect asks for a name before the run begins; where the version is known later (the latest of a
root, or the one that a rebuild makes), the run is named again.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import wraps
from typing import Any
from uuid import UUID

from prefect import get_client, get_run_logger
from prefect.runtime import flow_run

from flows.params import (
    AblateParams,
    CacheParams,
    EvaluateParams,
    RebuildAndTrainParams,
    RebuildParams,
    RetryParams,
    TrainParams,
    TrainSettings,
)
from hcp.training.config import TrainConfig
from priors.config import ExtractorConfig
from storage.background import Background
from storage.versions import split_dataset

DIGEST, SETTINGS, LONGEST = 8, 3, 200  # characters of an id; settings named; characters of a name
_NAMED = ("method", "steps", "seed", "init_from")  # said, or no matter of the method
PATIENCE_S = 10.0


def _from_parameters(name: Callable[[Mapping[str, Any]], str]) -> Callable[[], str]:
    """A name as Prefect wants it: no error of it ends a run."""

    @wraps(name)
    def named() -> str:
        try:
            return name(flow_run.get_parameters() or {})[:LONGEST]
        except (AttributeError, KeyError, TypeError, ValueError):
            return str(flow_run.get_name())  # Prefect's own; the flow says what is wrong

    del named.__wrapped__  # or Prefect would take the parameters for its arguments
    return named


@_from_parameters
def rebuild_name(given: Mapping[str, Any]) -> str:
    """``hcp from photos: yolo11x-pose, sam_vit_h``."""
    return rebuild_title(given["params"])


@_from_parameters
def retry_name(given: Mapping[str, Any]) -> str:
    """``hcp from photos again: unreadable``."""
    return rebuild_title(given["params"])


@_from_parameters
def cache_name(given: Mapping[str, Any]) -> str:
    """``hcp@1a2b3c4d for stable-diffusion-v1-5``."""
    params: CacheParams = given["params"]
    return cache_title(params, params.dataset)


@_from_parameters
def train_name(given: Mapping[str, Any]) -> str:
    """``hcp@1a2b3c4d on stable-diffusion-v1-5: hcp, 2000 steps, learning_rate 5e-05``."""
    params: TrainParams = given["params"]
    return train_title(params, given.get("dataset") or params.dataset)


@_from_parameters
def evaluate_name(given: Mapping[str, Any]) -> str:
    """``runs/latest on stable-diffusion-v1-5``, and what photos it is measured on."""
    params: EvaluateParams = given["params"]
    measured = f", photos of {dataset(params.dataset)}" if params.dataset else ""
    return f"{place(params.checkpoint)} on {base(params.base)}{measured}"


@_from_parameters
def pipeline_name(given: Mapping[str, Any]) -> str:
    """``hcp from photos, then on stable-diffusion-v1-5: hcp, 2000 steps``."""
    params: RebuildAndTrainParams = given["params"]
    made = f"{place(params.rebuild.root)} from {place(params.rebuild.source)}"
    return f"{made}, then {_on_base(params.train)}"


@_from_parameters
def ablate_name(given: Mapping[str, Any]) -> str:
    """``hcp@1a2b3c4d on stable-diffusion-v1-5: default, lora, 2000 steps, 3 seeds``."""
    params: AblateParams = given["params"]
    asked = [*params.variants, *params.questions, *params.own] or ["all variants"]
    seeds = f", {len(params.seeds)} seeds" if params.seeds else ""
    train = params.train
    what = f"{', '.join(asked)}, {train.training.steps} steps{seeds}"
    return f"{dataset(train.dataset)} on {base(train.base)}: {what}"


def rebuild_title(params: RebuildParams, version: str | None = None) -> str:
    """What a rebuild, or a retry, makes of what, with the version where it is known."""
    root = params.root if version is None else f"{params.root}@{version}"
    made = f"{dataset(root)} from {place(params.source)}"
    if isinstance(params, RetryParams):
        return f"{made} again: {', '.join(params.reasons)}"
    return f"{made}: {models(params.extractor)}"


def cache_title(params: CacheParams, data: str) -> str:
    """Which dataset is encoded for which base."""
    return f"{dataset(data)} for {base(params.base)}"


def train_title(params: TrainSettings, data: str) -> str:
    """What is trained on a dataset."""
    return f"{dataset(data)} {_on_base(params)}"


def _on_base(params: TrainSettings) -> str:
    training = params.training
    said = [training.method, f"{training.steps} steps"]
    said += [f"seed {training.seed}"] if training.seed else []
    changed = [each for each in changes(training, TrainConfig()) if each[0] not in _NAMED]
    said += [f"{name} {value}" for name, value in changed[:SETTINGS]]
    said += [f"{len(changed) - SETTINGS} more settings"] if len(changed) > SETTINGS else []
    return f"on {base(params.base)}: {', '.join(said)}"


def changes(config: Any, default: Any) -> Iterator[tuple[str, str]]:
    """Settings that differ from the default, by the shortest name, as text."""
    for field in fields(config):
        ours, theirs = getattr(config, field.name), getattr(default, field.name)
        if is_dataclass(ours) and type(ours) is type(theirs):
            yield from ((f"{field.name}.{name}", value) for name, value in changes(ours, theirs))
        elif ours != theirs:
            yield field.name, _short(ours)


def rename(name: str) -> None:
    """Name the flow run that is running again; a server that is away changes nothing."""
    run = None if flow_run.get_name() == name[:LONGEST] else flow_run.get_id()

    def send(_: object) -> None:
        with get_client(sync_client=True) as client:
            client.set_flow_run_name(UUID(run), name[:LONGEST])

    if run is not None:
        sender = Background[None](send, to="the run's name", say=get_run_logger().warning)
        sender.put(None)
        sender.close(PATIENCE_S)


def place(uri: str) -> str:
    """The last two parts of a path or URL, ids among them shortened."""
    parts = [part for part in uri.partition("://")[2 if "://" in uri else 0].split("/") if part]
    return "/".join(_shortened(part) for part in parts[-2:]) or uri


def base(name: str) -> str:
    """The last part of a model's name or path, without its suffix."""
    last = name.rstrip("/").rpartition("/")[2]
    return last.removesuffix(".safetensors").removesuffix(".pth").removesuffix(".pt")


def models(config: ExtractorConfig) -> str:
    """The models that make the priors."""
    return ", ".join(dict.fromkeys(map(base, (config.pose_model, config.mask_model))))


def dataset(name: str) -> str:
    """``ROOT@VERSION`` in short; where no version is named, the root alone."""
    root, version = split_dataset(name)
    return place(root) if name == root else f"{place(root)}@{version[:DIGEST]}"


def _shortened(part: str) -> str:
    is_id = len(part) > 2 * DIGEST and all(letter in "0123456789abcdef" for letter in part)
    return part[:DIGEST] if is_id else part


def _short(value: object) -> str:
    text = "/".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
    return text if len(text) <= 30 else f"{text[:27]}..."
