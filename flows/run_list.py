"""The latest flow runs, as the Prefect server has them: what `hcp runs` shows.

Asked by plain HTTP where ``PREFECT_API_URL`` names the server: Prefect's own client takes longer to
load than the list to fetch.
"""

import os
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx

from storage.errors import HcpError

PAGE = 200
"""Runs of one request: the most that the server gives."""
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
    api, headers = _server()
    wanted: dict[str, Any] = {"sort": "EXPECTED_START_TIME_DESC"}
    if states:
        wanted["flow_runs"] = {"state": {"type": {"any_": [each.upper() for each in states]}}}
    try:
        with httpx.Client(base_url=api, headers=headers, timeout=_TIMEOUT_S) as client:
            rows: list[Any] = []
            while len(rows) < limit:
                page = {"limit": min(PAGE, limit - len(rows)), "offset": len(rows)}
                found = _post(client, "/flow_runs/filter", wanted | page)
                rows += found
                if len(found) < page["limit"]:
                    break
            ids = sorted({row["flow_id"] for row in rows})
            flows = _post(client, "/flows/filter", {"flows": {"id": {"any_": ids}}}) if ids else ()
    except httpx.HTTPError as error:
        raise HcpError(
            f"Prefect's server at {api} does not answer: {error or type(error).__name__}; start it "
            "(hcp up), or correct PREFECT_API_URL"
        ) from error
    names = {flow["id"]: str(flow["name"]) for flow in flows}
    return [_run(row, names.get(row["flow_id"], ""), api.removesuffix("/api")) for row in rows]


def _post(client: httpx.Client, path: str, body: Mapping[str, Any]) -> list[Any]:
    answer = client.post(path, json=dict(body))
    answer.raise_for_status()
    return answer.json()


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


def _server() -> tuple[str, dict[str, str]]:
    """The API's URL, and what proves who asks."""
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
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    if user:
        headers = {"Authorization": f"Basic {b64encode(user.encode()).decode()}"}
    return api.rstrip("/"), headers
