"""The latest flow runs, as the Prefect server has them: what `hcp runs` shows.

Asked by plain HTTP where ``PREFECT_API_URL`` names the server: Prefect's own client takes longer to
load than the list to fetch.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx

from flows.stack.api import PrefectApi
from storage.errors import HcpError

STATES = (
    "scheduled", "pending", "running", "cancelling", "cancelled", "completed", "failed", "crashed",
    "paused",
)  # fmt: skip
_TIMEOUT_S = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowRun:
    """One run of a flow."""

    id: str
    name: str
    flow: str
    state: str  # as the UI names it, such as Late
    started: datetime | None  # or when it is to start
    seconds: float  # that it ran
    message: str  # of its state: why it failed
    url: str  # of its page


def list_runs(*, limit: int, states: Sequence[str] = ()) -> list[FlowRun]:
    """The latest runs, the newest first.

    Args:
        limit: so many at most.
        states: of ``STATES``; none: all.

    Raises:
        HcpError: no server is named, it does not answer, or there is no such state.
    """
    if unknown := sorted(set(states) - set(STATES)):
        raise HcpError(f"runs: no state {', '.join(unknown)}; there are {', '.join(STATES)}")
    server = _server()
    try:
        rows = server.latest_runs(limit=limit, states=[each.upper() for each in states])
        ids = sorted({row["flow_id"] for row in rows})
        names = server.flow_names(ids) if ids else {}
    except httpx.HTTPError as error:
        raise HcpError(
            f"Prefect's server at {server.url} does not answer: {error or type(error).__name__}; "
            "start it (hcp up), or correct PREFECT_API_URL"
        ) from error
    ui = server.url.removesuffix("/api")
    return [_run(row, names.get(row["flow_id"], ""), ui) for row in rows]


def _run(row: Mapping[str, Any], flow: str, ui: str) -> FlowRun:
    state = row.get("state") or {}
    started = row.get("start_time") or row.get("expected_start_time")
    return FlowRun(
        id=row["id"],
        name=row["name"],
        flow=flow,
        state=str(state.get("name") or "none"),
        started=datetime.fromisoformat(started) if started else None,
        seconds=float(row.get("estimated_run_time") or row.get("total_run_time") or 0),
        message=str(state.get("message") or ""),
        url=f"{ui}/runs/flow-run/{row['id']}",
    )


def _server() -> PrefectApi:
    """The server that the environment names, or the current profile."""
    api, key, user = (
        os.environ.get(f"PREFECT_API_{name}", "") for name in ("URL", "KEY", "AUTH_STRING")
    )
    if not api:  # a profile may name it
        from prefect.settings import get_current_settings

        settings: Any = get_current_settings().api
        api = settings.url or ""
        key = settings.key.get_secret_value() if settings.key else ""
        user = settings.auth_string.get_secret_value() if settings.auth_string else ""
    if not api:
        raise HcpError(
            "runs: no Prefect server is named: set PREFECT_API_URL (hcp up starts one), or choose "
            "a profile (prefect profile use)"
        )
    return PrefectApi(api.rstrip("/"), key=key, user=user, limit_s=_TIMEOUT_S)
