"""What the deployments would run with: their parameters, and whether two of them agree."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from pydantic import BaseModel, ValidationError

from flows import params as kinds
from flows.doctor.findings import Finding, bad, note, ok
from flows.kinds import KINDS
from flows.other_settings import data_settings, shapes_shards
from flows.variables import filled

_WHAT, _SHOWN = "deployments' settings", 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """A deployment whose parameters can be used."""

    name: str  # FLOW/DEPLOYMENT
    here: bool  # its runs are processes of a machine such as this one, not containers
    params: BaseModel


def read_deployed(
    deployments: Sequence[Mapping[str, Any]],
    names: Mapping[str, str],
    variable: Callable[[str], Any],
) -> tuple[list[Deployed], list[Finding]]:
    """Those of our flows, and what is wrong with the parameters of the others.

    Args:
        deployments: as the server's API gives them.
        names: FLOW/DEPLOYMENT by id.
        variable: a Prefect variable's value by its name.
    """
    found: list[Deployed] = []
    wrong: dict[str, list[Mapping[str, Any]]] = {}
    for each in deployments:
        name, given = names[each["id"]], each.get("parameters") or {}
        kind = KINDS.get(name.partition("/")[0])
        if kind is None or "params" not in given:
            continue
        try:
            params = kind.model_validate(filled(given["params"], variable))
            containers = bool((each.get("job_variables") or {}).get("image"))
            found.append(Deployed(name=name, here=not containers, params=params))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            wrong.setdefault(f"{where}: {first['msg']}", []).append(each)
        except ValueError as error:  # a variable that is not set
            wrong.setdefault(str(error), []).append(each)
    rows = [_unusable(why, own, names) for why, own in wrong.items()]
    return found, rows


def _unusable(why: str, own: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> Finding:
    scheduled = any(s["active"] for each in own for s in each["schedules"] if not each["paused"])
    said = f"{', '.join(names[each['id']] for each in own)}: {why}"
    do = "correct the parameters on the deployment's page in the UI, or set the variable"
    return (bad if scheduled else note)(_WHAT, said, do)


def check_agreement(deployed: Sequence[Deployed]) -> Iterator[Finding]:
    """Two deployments that write into one root with other settings."""
    writers = [
        (each.name, part.root, data_settings(part))
        for each in deployed
        for part in parts_of(each.params)
        if isinstance(part, kinds.RebuildParams)
    ]
    silent = True
    for (one, root, was), (other, its_root, now) in combinations(writers, 2):
        if root != its_root:
            continue
        if changed := [name for name in now if was[name] != now[name]]:
            silent = False
            changed.sort(key=shapes_shards, reverse=True)
            what = [f"{name}: {was[name]}, {now[name]}" for name in changed]
            yield _conflict((one, other), root, what, shards=shapes_shards(changed[0]))
    if silent and writers:
        roots = len({root for _, root, _ in writers})
        yield ok(_WHAT, f"{len(writers)} write into {roots} root{'s' * (roots > 1)}, and agree")


def _conflict(
    names: tuple[str, str], root: str, differing: Sequence[str], *, shards: bool
) -> Finding:
    what = "; ".join(differing[:_SHOWN])
    more = len(differing) - _SHOWN
    what += f"; {more} more" if more > 0 else ""
    cost = (
        "each of them extracts every photo anew that the other has done"
        if shards
        else "the root's latest version is now of the one, now of the other"
    )
    return bad(
        _WHAT,
        f"{names[0]} and {names[1]} write into {root} with different settings ({what}): {cost}",
        "give both the same settings, or each a root of its own",
    )


def parts_of(params: BaseModel) -> Iterator[BaseModel]:
    """The parameters themselves, or those of which they are made."""
    inner = [getattr(params, name) for name in type(params).model_fields]
    below = [each for each in inner if isinstance(each, kinds.ComputeParams)]
    yield from below or [params]
