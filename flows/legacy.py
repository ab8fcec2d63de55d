"""Settings of the version before the settings tree, understood for one release.

Its parameters mirrored the components' settings under flat names of their own.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flows.tree import Path, branches, nested

_REBUILD: Mapping[str, tuple[str, ...]] = {
    "pose_model": ("extractor.pose_model",),
    "mask_model": ("extractor.mask_model",),
    "image_size_px": ("extractor.imgsz",),
    "batch_size": ("extractor.batch_size", "extractor.mask_batch_size"),
    "trust_weights": ("extractor.trust_weights",),
    "actors": ("workers.count",),
    "cpus_per_actor": ("workers.cpus_each",),
    "gpus_per_actor": ("workers.gpus_each",),
    "decode_cpus": ("workers.decode_cpus",),
}
_LOOP = (
    "steps", "batch_size", "learning_rate", "warmup_steps", "ema_decay", "precision",
    "checkpoint_every", "seed", "hcp",
)  # fmt: skip
_TRAIN: Mapping[str, tuple[str, ...]] = {
    **{name: (f"training.{name}",) for name in _LOOP},
    "resolution_px": ("training.data.resolution_px",),
    "workers": ("workers.count",),
    "cpus_per_worker": ("workers.cpus_each",),
    "gpus_per_worker": ("workers.gpus_each",),
}
_EVALUATE: Mapping[str, tuple[str, ...]] = {
    "pose_model": ("judge.weights",),
    "pose_image_size_px": ("judge.imgsz",),
    "trust_weights": ("judge.trust_weights",),
    "seeds": ("evaluation.seeds",),
    "inference_steps": ("evaluation.steps",),
    "guidance": ("evaluation.guidance",),
    "attention_photos": ("evaluation.max_photos",),
}
_FORMER = {"RebuildParams": _REBUILD, "TrainSettings": _TRAIN, "EvaluateSettings": _EVALUATE}
_CONVERTED: Mapping[str, Callable[[Any], Any]] = {"seeds": lambda n: tuple(range(int(n)))}


def moved(kind: type, data: Any) -> Any:
    """The data with former names at their new places, where a new name is not given too.

    One warning names each that was found, with its new place.
    """
    found: list[str] = []
    result = _moved(kind, data, (), found)
    if found:
        said = "settings of an earlier version, understood until the next: " + "; ".join(found)
        warnings.warn(said, FutureWarning, stacklevel=2)
    return result


def _moved(kind: type, data: Any, above: Path, found: list[str]) -> Any:
    if not isinstance(data, Mapping):
        return data
    table = next((_FORMER[c.__name__] for c in kind.__mro__ if c.__name__ in _FORMER), {})
    kept: dict[str, Any] = {}
    former: dict[str, Any] = {}
    for name, value in data.items():
        is_former = name in table and not (name == "workers" and not isinstance(value, int | str))
        (former if is_former else kept)[name] = value
    for name, value in former.items():
        places = table[name]
        for place in places:
            kept = _put(kept, place.split("."), _CONVERTED.get(name, lambda same: same)(value))
        new = " and ".join(".".join((*above, place)) for place in places)
        found.append(f"{'.'.join((*above, name))} is now {new}")
    for name, annotation in branches(kind).items():
        below = nested(annotation)
        if name in kept and below is not None:
            kept[name] = _moved(below, kept[name], (*above, name), found)
    return kept


def _put(data: Mapping[str, Any], path: Sequence[str], value: Any) -> dict[str, Any]:
    name, *rest = path
    if not rest:
        return {name: value, **data}  # a new name that is given too wins
    inner = data.get(name, {})
    if not isinstance(inner, Mapping):  # a config that is whole already
        return dict(data)
    return {**data, name: _put(inner, rest, value)}
