"""Flow runs whose processes are gone: what a power cut leaves in a server's database.

The server counts them as running for ever: they hold their deployment's slot, and the next night
would wait for them.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import psutil

from flows.stack.api import ACTIVE, PrefectApi

MOST_STARTS = 3
_RUN_ID = "PREFECT__FLOW_RUN_ID"
_WENT_AWAY = "The machine or the local stack went away while this ran; what was committed is kept"


def settle_leftovers(api: PrefectApi, pool: str) -> list[str]:
    """Give each run of the pool that no process works on a state that is true; say so in a line.

    One that was to be cancelled is Cancelled. Any other is to start again, and goes on from what it
    has committed; one that was started three times already, and may have been what took the machine
    down, is Crashed.
    """
    living = _living_runs()
    lines: list[str] = []
    for run in api.runs(states=ACTIVE, pool=pool):
        if run["id"] in living:
            continue
        state = true_state(run)
        api.set_state(run["id"], state, force=True)
        lines.append(f"run {run['name']} was {run['state_name']}: {state['message']}")
    return lines


def true_state(run: Mapping[str, Any]) -> Mapping[str, Any]:
    if run["state_type"] == "CANCELLING":
        return {"type": "CANCELLED", "name": "Cancelled", "message": f"{_WENT_AWAY}."}
    if run["run_count"] >= MOST_STARTS:
        return {
            "type": "CRASHED",
            "name": "Crashed",
            "message": f"{_WENT_AWAY}. It was started {run['run_count']} times; look at the "
            "machine's memory and logs, then retry it: it goes on from there.",
        }
    return {
        "type": "SCHEDULED",
        "name": "AwaitingRetry",
        "message": f"{_WENT_AWAY}, and it goes on from there.",
    }


def _living_runs() -> set[str]:
    """The ids of the flow runs that processes of this machine work on."""
    found: set[str] = set()
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            found.add(process.environ().get(_RUN_ID, ""))
    return found
