"""Bases and weights that deployments and settings name: are they here, or can they be fetched?"""

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from flows.doctor.deployed import Deployed
from flows.doctor.findings import Finding, bad, note, ok
from flows.environment import variable_of
from flows.kinds import setting_paths
from flows.names import EMBEDDED, EMBEDDED_FOLDERS, Model, model_path
from flows.tree import leaves
from storage.errors import HcpError

Kind = Literal["base", "weights", "hub", "torchvision", "adapter"]
NAMED: Mapping[str, tuple[Kind, Model | None]] = {
    "base": ("base", "base"),
    "extractor.pose_model": ("weights", "pose"),
    "extractor.mask_model": ("weights", "masks"),
    "judge.weights": ("weights", "judge"),
    "mask_model": ("weights", "masks"),
    "features": ("hub", None),
    "bodies": ("hub", "bodies"),
    "clip_model": ("hub", None),
    "training.resnet_weights": ("torchvision", None),
    "training.init_from": ("adapter", None),
    "checkpoint": ("adapter", None),
}
"""Settings that name a model, by the end of their path: what they may name, and what is embedded.

``base``: as ``hcp.base`` finds it; ``weights``: as ``priors.weights``; ``hub``: a folder, a file or
a hub's id; ``torchvision``: a file or a name of that library; ``adapter``: what a training makes.
"""
Found = tuple[str, str, str] | None
"""``bad`` or ``note``, what is wrong, and what to do; None: nothing is."""
_WHAT = "models"
_INCEPTION = "inception"  # of the features: a name of the table
_TORCHVISION = re.compile("IMAGENET1K_V[0-9]+")
_HUB_ID = re.compile(r"[\w][\w.-]*/[\w][\w.-]*")


def check_models(
    deployed: Sequence[Deployed], environment: Mapping[str, str] | None = None
) -> Iterator[Finding]:
    """One row for each model that cannot be used, with who names it; one row where all can."""
    named: dict[tuple[str, str], list[str]] = {}
    elsewhere: dict[tuple[str, str], bool] = {}
    for each in deployed:
        for setting, name in models_of(each.params):
            named.setdefault((setting, name), []).append(each.name)
            elsewhere[setting, name] = elsewhere.get((setting, name), True) and not each.here
    for variable, setting, name in models_of_environment(environment or {}):
        named.setdefault((setting, name), []).append(variable)
        elsewhere[setting, name] = False
    wrong = False
    for (setting, name), who in named.items():
        found = look_at(setting, name)
        if found is None:
            continue
        wrong, (state, why, do) = True, found
        said = f"{setting} {name} of {', '.join(dict.fromkeys(who))}: {why}"
        if elsewhere[setting, name]:  # its containers may well have it
            yield note(_WHAT, f"{said}, on this machine", do)
        else:
            yield (bad if state == "bad" else note)(_WHAT, said, do)
    if named and not wrong:
        yield ok(_WHAT, f"{len(named)} that deployments and settings name are here")


def models_of(params: BaseModel) -> Iterator[tuple[str, str]]:
    """Settings that name a model, by the end of their path, and the name."""
    for path, _ in leaves(type(params)):
        setting = setting_of(path)
        value = _value(params, path) if setting else None
        if setting and isinstance(value, str):
            yield setting, value


def models_of_environment(environment: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Variables that name a model for commands, the setting, and the name."""
    for path in sorted(setting_paths()):
        setting, variable = setting_of(path), variable_of(path)
        if setting and environment.get(variable, "").strip():
            yield variable, setting, environment[variable].strip()


def setting_of(path: tuple[str, ...]) -> str | None:
    """The entry of ``NAMED`` that a path ends with."""
    for length in (2, 1):
        end = ".".join(path[-length:])
        if end in NAMED:
            return end
    return None


def look_at(setting: str, name: str) -> Found:
    """What is wrong with the model that a setting names."""
    kind, embedded = NAMED[setting]
    if name == EMBEDDED and (embedded in EMBEDDED_FOLDERS or setting == "features"):
        name = model_path(EMBEDDED, embedded or "masks")
    try:
        return _FOUND[kind](name)
    except (HcpError, OSError) as error:
        return "bad", str(error), "get the real files: see there, or name another model"


def _base(name: str) -> Found:
    from hcp.base_files import folder_variant, is_hub_file, local_base

    place = local_base(name)
    if place is not None:
        if place.is_dir():
            folder_variant(place, name)
            return None
        return _files(str(place))
    if is_hub_file(name) or _HUB_ID.fullmatch(name):
        return _to_fetch(name)
    return _missing("a folder, a .safetensors file or a hub's owner/name")


def _weights(name: str) -> Found:
    from priors.weights import KNOWN_WEIGHTS

    if name in KNOWN_WEIGHTS or f"{name}.pt" in KNOWN_WEIGHTS or "://" in name:
        return None  # the table's are fetched, and checked by their digest
    if Path(name).expanduser().exists():
        return _files(name)
    return _missing("a file, a folder, a URL or a name that `hcp weights` lists")


def _hub(name: str) -> Found:
    from hcp.base_files import local_base

    if name == _INCEPTION:
        return None
    place = local_base(name)
    if place is not None:
        return _files(str(place))
    if _HUB_ID.fullmatch(name):
        return _to_fetch(name)
    return _missing("a file, a folder or a hub's owner/name")


def _torchvision(name: str) -> Found:
    if _TORCHVISION.fullmatch(name):
        return None
    return _files(name) if Path(name).expanduser().exists() else _missing("a file")


def _adapter(name: str) -> Found:
    place = Path(name).expanduser()
    if not place.is_absolute():
        return None  # a registry's or a hub's
    if place.exists():
        return _files(name)
    return "note", "nothing lies there", "as before the first training; else correct the path"


_FOUND: Mapping[Kind, Callable[[str], Found]] = {
    "base": _base, "weights": _weights, "hub": _hub, "torchvision": _torchvision,
    "adapter": _adapter,
}  # fmt: skip


def _files(name: str) -> Found:
    from storage.weight_files import check_model_files, check_model_folder

    path = Path(name).expanduser()
    check_model_files([path], "weights")
    check_model_folder(path, "weights")
    return None


def _missing(expected: str) -> Found:
    return "bad", "no such file or folder", f"expected {expected}: correct the path"


def _to_fetch(name: str) -> Found:
    if os.environ.get("HF_HUB_OFFLINE", "") not in ("", "0"):
        return "bad", "not in the hub's cache, and HF_HUB_OFFLINE is set", f"hf download {name}"
    said = "not in the hub's cache: the first run fetches it"
    return "note", said, f"hf download {name}, so that no night depends on the network"


def _value(params: BaseModel, path: tuple[str, ...]) -> Any:
    value: Any = params
    for name in path:
        value = getattr(value, name, None)
    return value
