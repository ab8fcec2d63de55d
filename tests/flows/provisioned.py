"""What ``hcp provision`` makes on the tests' server, of which nothing stays: modules share it."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest
import yaml

from flows.provision import PLACES, automation_files, provision
from tests.flows.flow_samples import ROOT


@contextmanager
def provisioned(**given: Any) -> Generator[list[str]]:
    """The lines of ``provision``; before and after, the server has nothing that it makes.

    Work pools, locks and blocks stay.
    """
    _forget()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(ROOT)
            lines = provision(**given)
        yield lines
    finally:
        _forget()


def _forget() -> None:
    from prefect.client.orchestration import get_client
    from prefect.variables import Variable

    for name in PLACES:
        Variable.unset(f"hcp_{name}")
    with get_client(sync_client=True) as client:
        for text in automation_files():
            for found in client.read_automations_by_name(yaml.safe_load(text)["name"]):
                client.delete_automation(found.id)
        for deployment in client.read_deployments():
            client.delete_deployment(deployment.id)
