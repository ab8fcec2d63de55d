"""What the flows need on a Prefect server: pool, variables, locks, automations, deployments."""

import os
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any

import httpx
import yaml

from flows.deployments import ProvisionError, deploy
from flows.lock_server import make_lock
from flows.locks import lock_name
from flows.notices import Notify, save_blocks
from flows.work_pools import PoolType, make_pool

PLACES = ("source", "root", "base", "runs", "reports", "checkpoint")
"""What the Prefect variables ``hcp_<name>`` name: those that the deployments read."""
_BLOCK = "$block"


def provision(
    *,
    pool: str = "hcp",
    places: Mapping[str, str] | None = None,
    notify: Notify | None = None,
    pool_type: PoolType | None = None,
    image: str | None = None,
) -> list[str]:
    """Make what the flows need on the server of ``PREFECT_API_URL``; what is there stays.

    Deployments run in the working directory of this call. One whose file, code and directory are
    as they were is left alone, with what a person has changed in the UI.

    Args:
        pool: the work pool's name; made where there is none.
        places: values of the Prefect variables by the names of ``PLACES``, with or without the
            prefix ``hcp_``; those left out keep their value, or take that of ``$HCP_<NAME>``.
        notify: who is told of failed runs; none: as before.
        pool_type: what a run of the pool is; None: as it is, and a process where it is made.
        image: of a pool of containers or Kubernetes jobs.

    Returns:
        One line for each thing that was made, changed or kept.

    Raises:
        ProvisionError: no server answers, or Prefect refuses a deployment; the message says why.
        WorkPoolError: the pool is there with another type.
        ValueError: a place of another name.
    """
    given = _checked(places or {})
    _check_server()
    return [
        make_pool(pool, pool_type, image=image),
        *_variables(given),
        *_locks(),
        *deploy(pool),
        *_automations(notify),
    ]


def _checked(places: Mapping[str, str]) -> dict[str, str]:
    named = {name.removeprefix("hcp_").lower(): value for name, value in places.items()}
    unknown = sorted(named.keys() - set(PLACES))
    if unknown:
        raise ValueError(f"places: expected some of {', '.join(PLACES)}, got {', '.join(unknown)}")
    return named


def _check_server() -> None:
    from prefect.settings import PREFECT_API_URL

    url = PREFECT_API_URL.value()
    if not url:
        raise ProvisionError(
            "PREFECT_API_URL names no server to provision: start one (hcp up, or prefect server "
            "start) and set PREFECT_API_URL=http://127.0.0.1:4200/api"
        )
    try:
        httpx.get(f"{url}/health", timeout=10).raise_for_status()
    except httpx.HTTPError as error:
        raise ProvisionError(
            f"Prefect's server at {url} does not answer: {error}; start it, or correct "
            "PREFECT_API_URL"
        ) from error


def _client() -> Any:
    from prefect.client.orchestration import get_client

    return get_client(sync_client=True)


def _variables(given: Mapping[str, str]) -> Iterator[str]:
    from prefect.variables import Variable

    for place in PLACES:
        name = f"hcp_{place}"
        before: Any = Variable.get(name)
        value = given.get(place) or (None if before else os.environ.get(name.upper()))
        if not value or value == before:
            yield f"variable {name}: {'kept, ' + repr(before) if before else 'not set'}"
        else:
            Variable.set(name, value, overwrite=True)
            yield f"variable {name}: {'changed to' if before else 'made,'} {value!r}"


def _locks() -> Iterator[str]:
    """The lock of the root that the deployments write to; others are made when they are used."""
    from prefect.variables import Variable

    root: Any = Variable.get("hcp_root")
    if root:
        name = lock_name(str(root))
        yield f"lock {name} of {root}: {'made' if make_lock(name) else 'kept'}"


def _automations(notify: Notify | None) -> Iterator[str]:
    from prefect.events.schemas.automations import AutomationCore

    blocks = save_blocks(notify) if notify else {}
    for name in blocks:
        yield f"notification block {name}: made or renewed"
    with _client() as client:
        for text in automation_files():
            plain = yaml.safe_load(text)
            wanted = _with_blocks(plain, list(blocks.values()))
            found = client.read_automations_by_name(plain["name"])
            if wanted is None:
                yield _no_notice(plain["name"], bool(found))
                continue
            automation = AutomationCore.model_validate(wanted)
            yield _settle(client, automation, found)


def automation_files() -> list[str]:
    """The texts of ``flows/automations``, by their names."""
    folder = files("flows").joinpath("automations")
    found = sorted((f for f in folder.iterdir() if f.name.endswith(".yaml")), key=lambda f: f.name)
    return [file.read_text() for file in found]


def _with_blocks(plain: dict[str, Any], blocks: list[str]) -> dict[str, Any] | None:
    """An automation that sends to every block; None where it would send to none."""
    template = [a for a in plain["actions"] if a.get("block_document_id") == _BLOCK]
    if not template:
        return plain
    actions = [action | {"block_document_id": block} for block in blocks for action in template]
    return plain | {"actions": actions} if actions else None


def _no_notice(name: str, is_there: bool) -> str:
    if is_there:
        return f"automation {name}: kept"
    return f"automation {name}: none; hcp provision --webhook URL (or --slack, --email, --block)"


def _settle(client: Any, automation: Any, found: list[Any]) -> str:
    """Make it, or make the one of its name equal to it; others of that name go.

    That a person has switched it off stays so.
    """
    name = automation.name
    if not found:
        client.create_automation(automation)
        return f"automation {name}: made"
    first, *others = found
    for other in others:
        client.delete_automation(other.id)
    wanted = automation.model_copy(update={"enabled": first.enabled})
    if _plain(wanted) == _plain(first):
        return f"automation {name}: kept{'' if first.enabled else ', switched off'}"
    client.update_automation(first.id, wanted)
    return f"automation {name}: changed"


def _plain(automation: Any) -> dict[str, Any]:
    from prefect.events.schemas.automations import AutomationCore

    # Not as JSON, which lists a trigger's sets in an order of chance.
    own = automation.model_dump(include=set(AutomationCore.model_fields))
    own["trigger"].pop("id", None)  # the server's
    return own
