"""Two flows that rebuild one root with different settings: told of, since both write `latest`."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from flows.params import ComputeParams, RebuildParams
from storage.layout import Root
from storage.locations import read_bytes

_NAMED = 5
_SAME_DATA = {  # whatever they are, the same samples come of it
    *ComputeParams.model_fields, "root", "workers", "extractor.batch_size",
    "extractor.mask_batch_size", "extractor.trust_weights", "extractor.decode_threads",
}  # fmt: skip
_SHARDS = {"gate", "unit_size", "extractor"}  # with others, every photo is extracted anew


def other_settings(params: RebuildParams) -> str | None:
    """A sentence where the root was last rebuilt with settings that make other data.

    Returns:
        None where it was not rebuilt yet, or with these settings, or nothing can be said.
    """
    try:
        before = RebuildParams.model_validate_json(read_bytes(Root.of(params.root).settings))
    except (OSError, ValidationError):
        return None
    was, now = data_settings(before), data_settings(params)
    changed = [name for name in now if was.get(name) != now[name]]
    if not changed:
        return None
    said = [f"{name} was {was.get(name)}, is {now[name]}" for name in changed[:_NAMED]]
    more = f" and {len(changed) - _NAMED} more" if len(changed) > _NAMED else ""
    return (
        f"{params.root} was last rebuilt otherwise: {'; '.join(said)}{more}. Its versions "
        "stay, and from now on this one is `latest`, which trainings take and retry-failed goes "
        "on from. If two flows are to keep their own settings, give each a root of its own"
    )


def data_settings(params: RebuildParams) -> dict[str, str]:
    """The settings on which it depends what data comes of a rebuild, as JSON, by their paths."""
    half = params.extractor.half is True  # left to the device it counts no more than the device
    extractor = replace(params.extractor, half=half)
    plain = params.model_copy(update={"extractor": extractor}).model_dump_json()
    flat = dict(_flat(json.loads(plain)))
    return {name: flat[name] for name in flat if not {name, _part(name)} & _SAME_DATA}


def shapes_shards(name: str) -> bool:
    """Whether a setting of ``data_settings`` counts in each shard, or only in the version."""
    return _part(name) in _SHARDS


def _part(name: str) -> str:
    return name.partition(".")[0]


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, json.dumps(value, ensure_ascii=False)
