"""The deployments of prefect.yaml on a server: made where missing, renewed where they differ."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import yaml

from flows.work_pools import pool_type, pull_steps
from storage.canonical import digest_of
from storage.errors import HcpError

CODE = ("flows", "hcp", "priors", "storage")
_LIMIT_S = 300


class ProvisionError(HcpError):
    """The server does not answer, or refuses what the flows need."""


def deploy(pool: str) -> Iterator[str]:
    """Make or renew what differs, as ``prefect deploy --all`` does; one line a deployment.

    Raises:
        ProvisionError: Prefect refuses one; the message is Prefect's.
    """
    wanted = specs(pool, pull=pull_steps(pool_type(pool)))
    before = _versions(wanted)
    changed = {name: spec for name, spec in wanted.items() if before.get(name) != spec["version"]}
    if changed:
        _run_deploy(list(changed.values()))
    for name in wanted:
        done = "kept" if name not in changed else "renewed" if name in before else "made"
        yield f"deployment {name}: {done}"


def specs(pool: str, *, pull: list[dict[str, Any]] | None = None) -> dict[str, dict[str, Any]]:
    """The deployments of the file by FLOW/NAME, each with a version that is new where it differs.

    Args:
        pool: that they run in, whatever the file says.
        pull: what a run does before its flow is loaded; None: as Prefect does by itself.
    """
    plain = yaml.safe_load(files("flows").joinpath("prefect.yaml").read_text())
    code, found = _code(), dict[str, dict[str, Any]]()
    for each in plain["deployments"]:
        spec = each | {"work_pool": each["work_pool"] | {"name": pool}}
        spec |= {} if pull is None else {"pull": pull}
        version = digest_of({"spec": spec, "code": code, "directory": os.getcwd()})[:16]
        flow = str(each["entrypoint"]).rpartition(".")[2].replace("_", "-")
        found[f"{flow}/{each['name']}"] = spec | {"version": version}
    return found


def _code() -> str:
    """Of all our modules: what the UI draws its forms from may stand in any of them."""
    return digest_of([[name, text] for root in CODE for name, text in _modules(files(root))])


def _modules(folder: Traversable) -> Iterator[tuple[str, str]]:
    for each in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if each.is_dir():
            yield from _modules(each)
        elif each.name.endswith(".py"):
            yield each.name, each.read_text()


def _versions(names: Iterable[str]) -> Mapping[str, str | None]:
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    found: dict[str, str | None] = {}
    with get_client(sync_client=True) as client:
        for name in names:
            with suppress(ObjectNotFound):
                found[name] = client.read_deployment_by_name(name).version
    return found


def _run_deploy(changed: list[dict[str, Any]]) -> None:
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "prefect.yaml"
        file.write_text(yaml.safe_dump({"name": "hcp", "deployments": changed}))
        done = subprocess.run(
            [*command, "--prefect-file", str(file)],
            env=os.environ | _server(), stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=_LIMIT_S, check=False,
        )  # fmt: skip
    if done.returncode:
        said = (done.stdout + done.stderr).strip()[-2000:]
        raise ProvisionError(f"prefect deploy ended with code {done.returncode}: {said}")


def _server() -> dict[str, str]:
    """The server of this process's settings, which need not be the environment's."""
    from prefect.settings import PREFECT_API_URL

    return {"PREFECT_API_URL": str(PREFECT_API_URL.value())}
