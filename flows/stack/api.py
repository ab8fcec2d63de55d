"""What the stack and ``hcp doctor`` ask a Prefect server, without Prefect's own client.

Importing that takes two seconds, and needs the server's version.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

import httpx

LIMIT_S = 10
ACTIVE = ("RUNNING", "PENDING", "CANCELLING")
_NOT_FOUND, _CONFLICT = 404, 409
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_PAGE = 200  # the server gives no more at a time


@dataclass(frozen=True, slots=True)
class PrefectApi:
    """A server's API; every method raises ``httpx.HTTPError`` where it does not answer."""

    url: str  # with /api
    key: str | None = None  # of Prefect Cloud; None: as PREFECT_API_KEY says
    user: str | None = None  # name:password; None: as PREFECT_API_AUTH_STRING says
    limit_s: float = LIMIT_S  # of one request

    def healthy(self) -> bool:
        """Whether the server answers at all."""
        try:
            return self._ask("GET", "health") is True
        except (httpx.HTTPError, ValueError):
            return False

    def version(self) -> str:
        """Of the server's Prefect."""
        return str(self._ask("GET", "admin/version"))

    def clock(self) -> datetime:
        """The time that the server has."""
        from email.utils import parsedate_to_datetime

        with self._client() as client:
            answer = client.get("health")
        return parsedate_to_datetime(answer.headers["date"])

    def pool(self, name: str) -> Mapping[str, Any] | None:
        """A work pool; None: there is none of that name."""
        try:
            return self._ask("GET", f"work_pools/{quote(name, safe='')}")
        except httpx.HTTPStatusError as error:
            if error.response.status_code == _NOT_FOUND:
                return None
            raise

    def make_pool(self, name: str) -> None:
        """A work pool of processes, where there is none of that name yet.

        For ``hcp up``, whose worker starts before Prefect is imported anywhere
        (``flows.work_pools.make_pool``).
        """
        if self.pool(name) is not None:
            return
        try:
            self._ask("POST", "work_pools/", {"name": name, "type": "process"})
        except httpx.HTTPStatusError as error:
            if error.response.status_code != _CONFLICT:  # made by another just now
                raise

    def workers(self, pool: str) -> list[Mapping[str, Any]]:
        """The workers of a pool, those that ended too: ``status`` says which."""
        return self._all(f"work_pools/{quote(pool, safe='')}/workers/filter", {})

    def online(self, pool: str) -> list[str]:
        """Names of the workers of a pool that report themselves."""
        return [each["name"] for each in self.workers(pool) if each["status"] == "ONLINE"]

    def deployments(self) -> list[Mapping[str, Any]]:
        """All of them."""
        return self._all("deployments/filter", {"sort": "NAME_ASC"})

    def flow_names(self, ids: Sequence[str] | None = None) -> dict[str, str]:
        """The names of flows by their ids: of these, or of all."""
        wanted = {} if ids is None else {"flows": {"id": {"any_": list(ids)}}}
        return {flow["id"]: flow["name"] for flow in self._all("flows/filter", wanted)}

    def latest_runs(self, *, limit: int, states: Sequence[str] = ()) -> list[Mapping[str, Any]]:
        """Flow runs, the newest first, those in states of these types where any are named."""
        wanted: dict[str, Any] = {"sort": "EXPECTED_START_TIME_DESC"}
        if states:
            wanted["flow_runs"] = {"state": {"type": {"any_": list(states)}}}
        return self._all("flow_runs/filter", wanted, limit=limit)

    def runs(self, *, states: Sequence[str], pool: str | None = None) -> list[Mapping[str, Any]]:
        """Flow runs in states of these types, those of one pool where it is named, soonest first.

        At most 200.
        """
        wanted: dict[str, Any] = {
            "flow_runs": {"state": {"type": {"any_": list(states)}}},
            "sort": "EXPECTED_START_TIME_ASC",
            "limit": _PAGE,
        }
        if pool is not None:
            wanted["work_pools"] = {"name": {"any_": [pool]}}
        return self._ask("POST", "flow_runs/filter", wanted)

    def variable(self, name: str) -> Any:
        """The value of a Prefect variable; None: there is none."""
        try:
            return self._ask("GET", f"variables/name/{quote(name, safe='')}")["value"]
        except httpx.HTTPStatusError as error:
            if error.response.status_code == _NOT_FOUND:
                return None
            raise

    def set_state(self, run: str, state: Mapping[str, Any], *, force: bool = False) -> None:
        """Propose a state of a flow run."""
        self._ask("POST", f"flow_runs/{run}/set_state", {"state": state, "force": force})

    def run(self, run: str) -> Mapping[str, Any]:
        """One flow run."""
        return self._ask("GET", f"flow_runs/{run}")

    def _all(
        self, path: str, wanted: Mapping[str, Any], *, limit: int | None = None
    ) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = []
        while limit is None or len(found) < limit:
            most = _PAGE if limit is None else min(_PAGE, limit - len(found))
            page = self._ask("POST", path, {**wanted, "limit": most, "offset": len(found)})
            found += page
            if len(page) < most:
                break
        return found

    def _ask(self, verb: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        with self._client() as client:
            answer = client.request(verb, path, json=body)
        answer.raise_for_status()
        return answer.json()

    def _client(self) -> httpx.Client:
        key = os.environ.get("PREFECT_API_KEY") if self.key is None else self.key
        user = os.environ.get("PREFECT_API_AUTH_STRING") if self.user is None else self.user
        host = httpx.URL(self.url).host
        return httpx.Client(
            verify=self.url.startswith("https"),  # reading the certificates takes 30 ms each time
            trust_env=host not in _LOOPBACK,  # no proxy stands before this machine itself
            base_url=f"{self.url.rstrip('/')}/",
            timeout=self.limit_s,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            auth=tuple(user.split(":", 1)) if user and ":" in user else None,  # pyright: ignore[reportArgumentType]
        )
