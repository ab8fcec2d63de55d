"""The Prefect server: does it answer, is it of our version, will scheduled runs really run."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import httpx

from flows.doctor.findings import Finding, bad, note, ok
from flows.stack.api import PrefectApi

MAX_CLOCK_DIFFERENCE_S = 30
_SCHEDULER_S = 120  # within which a new schedule has its first runs, with room
Row = Mapping[str, Any]


def check_server(url: str, how_to_start: str) -> Iterator[Finding]:
    """One row for each thing that a scheduled run needs.

    Args:
        url: the server's API.
        how_to_start: what to do where it does not answer.
    """
    api = PrefectApi(url)
    try:
        there = api.version()
    except (httpx.HTTPError, ValueError) as error:
        yield _no_answer(url, error, how_to_start)
        return
    yield ok("prefect server", url)
    yield check_versions(version("prefect"), there)
    try:
        yield check_server_clock(api.clock(), datetime.now(UTC))
        deployments, flows = api.deployments(), api.flow_names()
        names = {each["id"]: f"{flows.get(each['flow_id'])}/{each['name']}" for each in deployments}
        yield _deployed(deployments)
        yield from _schedules(deployments, names, api.runs(states=("SCHEDULED",)))
        yield from _pools(api, deployments)
        yield from _settings(api, deployments, names)
    except (httpx.HTTPError, ValueError, KeyError) as error:
        yield bad("prefect server", f"{url} answers, but not this: {error}", "see its log")


def _settings(
    api: PrefectApi, deployments: Sequence[Row], names: Mapping[str, str]
) -> Iterator[Finding]:
    from flows.doctor.deployed import check_agreement, read_deployed
    from flows.doctor.models import check_models

    deployed, unusable = read_deployed(deployments, names, api.variable)
    yield from unusable
    yield from check_agreement(deployed)
    yield from check_models(deployed)


def check_versions(here: str, there: str) -> Finding:
    """The client's version and the server's, which must agree but for the last number."""
    if here.split(".")[:2] == there.split(".")[:2]:
        return ok("prefect versions", f"{here} here, {there} on the server")
    return bad(
        "prefect versions",
        f"{here} here, {there} on the server: calls may fail in odd ways",
        f"pip install 'prefect=={there}' here, or let the server run {here} (a local stack: "
        "`hcp down`, then `hcp up`)",
    )


def check_server_clock(there: datetime, here: datetime) -> Finding:
    """Both clocks."""
    difference = abs((there - here).total_seconds())
    if difference <= MAX_CLOCK_DIFFERENCE_S:
        return ok("server's clock", "agrees with this machine's")
    return bad(
        "server's clock",
        f"{difference:.0f} s from this machine's: runs start early or late, workers look dead",
        "let both machines follow a time server (timedatectl set-ntp true)",
    )


def _no_answer(url: str, error: Exception, how_to_start: str) -> Finding:
    code = error.response.status_code if isinstance(error, httpx.HTTPStatusError) else None
    if code in (401, 403):
        return bad(
            "prefect server", f"{url} refuses us (HTTP {code})",
            "set PREFECT_API_KEY, or PREFECT_API_AUTH_STRING=USER:PASSWORD",
        )  # fmt: skip
    if code is not None or isinstance(error, ValueError):
        return bad(
            "prefect server", f"{url} is no API of Prefect: {error}",
            "correct PREFECT_API_URL: it ends in /api",
        )  # fmt: skip
    return bad("prefect server", f"{url} does not answer: {error}", how_to_start)


def _deployed(deployments: Sequence[Row]) -> Finding:
    if deployments:
        return ok("deployments", str(len(deployments)))
    return bad("deployments", "none: there is nothing to schedule", "hcp up, or hcp provision")


def _schedules(
    deployments: Sequence[Row], names: Mapping[str, str], coming: Sequence[Row]
) -> Iterator[Finding]:
    scheduled = {run["deployment_id"] for run in coming if run["auto_scheduled"]}
    active = [each for each in deployments if any(s["active"] for s in each["schedules"])]
    for each in active:
        if each["paused"]:
            yield note(
                "schedules", f"{names[each['id']]} is paused",
                "switch it on on its page in the UI, if it is to run",
            )  # fmt: skip
    silent = [
        names[each["id"]] for each in active
        if not each["paused"] and each["id"] not in scheduled and _age_s(each) > _SCHEDULER_S
    ]  # fmt: skip
    if silent and len(coming) < 200:  # of more, we saw only the first
        yield bad(
            "schedules",
            f"create no runs: {', '.join(silent)}",
            "the server's scheduler does not work: is it started with --no-services, or with "
            "sqlalchemy 2.1 (see its log for `schedule_deployments`)? Install with constraints.txt",
        )
    elif active:
        yield ok("schedules", f"{len(active)} create runs; next: {_first(coming, names)}")


def _pools(api: PrefectApi, deployments: Sequence[Row]) -> Iterator[Finding]:
    used = Counter(each["work_pool_name"] for each in deployments)
    if without := used.pop(None, 0):
        yield bad(
            "work pool",
            f"{without} deployments have none, or theirs was deleted: their runs never start",
            "hcp up, or hcp provision: it makes the pool and deploys again",
        )
    for name in used:
        pool = api.pool(name)
        if pool is None:
            yield bad("work pool", f"{name} is missing", f"prefect work-pool create {name}")
            continue
        if pool["is_paused"]:
            yield bad("work pool", f"{name} is paused", f"prefect work-pool resume {name}")
        yield _workers(api, name, str(pool["type"]))


def _workers(api: PrefectApi, pool: str, kind: str) -> Finding:
    online = api.online(pool)
    if online:
        return ok("workers", f"pool {pool} ({kind}): {', '.join(online)}")
    late = [
        run for run in api.runs(states=("SCHEDULED",), pool=pool) if run["state_name"] == "Late"
    ]
    waits = f"; {len(late)} runs are late" if late else ""
    return bad(
        "workers",
        f"pool {pool} ({kind}) has none that reports itself: its runs never start{waits}",
        f"hcp up, or prefect worker start --pool {pool} --type {kind}",
    )


def _first(coming: Sequence[Row], names: Mapping[str, str]) -> str:
    run = next((each for each in coming if each["deployment_id"] in names), None)
    if run is None:
        return "none yet"
    when = datetime.fromisoformat(run["expected_start_time"]).astimezone(UTC)
    return f"{names[run['deployment_id']]} at {when:%Y-%m-%d %H:%M} UTC"


def _age_s(deployment: Row) -> float:
    changed = datetime.fromisoformat(deployment["updated"])
    return (datetime.now(UTC) - changed).total_seconds()
