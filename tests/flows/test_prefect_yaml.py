"""The deployments' parameters, with their variables set and unset, without a server."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from flows import provision, variables
from flows.params import (
    AblateParams,
    CacheParams,
    EvaluateParams,
    RebuildAndTrainParams,
    RebuildParams,
    RetryParams,
    TrainParams,
)

TEXT = (Path(__file__).parents[2] / "prefect.yaml").read_text()
PLACES = {f"hcp_{name}" for name in provision.PLACES}
KINDS = {
    "rebuild_dataset": RebuildParams,
    "retry_failed": RetryParams,
    "cache_dataset": CacheParams,
    "train_hcp": TrainParams,
    "evaluate_hcp": EvaluateParams,
    "rebuild_and_train": RebuildAndTrainParams,
    "ablate_hcp": AblateParams,
}
NAMES = sorted(KINDS)


def parameters(name: str) -> Any:
    loaded = yaml.safe_load(TEXT)["deployments"]
    (found,) = [d for d in loaded if d["entrypoint"].endswith(f".{name}")]
    return found["parameters"]["params"]


@pytest.mark.parametrize("name", NAMES)
def test_with_its_variables_a_deployment_fits_its_flow(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(variables, "server_value", lambda variable: f"/data/{variable}")
    filled = KINDS[name].model_validate(parameters(name)).model_dump_json()
    for variable in named(name):
        assert f"/data/{variable}" in filled


@pytest.mark.parametrize("name", NAMES)
def test_without_them_the_variable_and_what_sets_it_are_named(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(variables, "server_value", lambda variable: None)
    with pytest.raises(ValidationError, match=r"variable hcp_\w+ is not set.*prefect variable set"):
        KINDS[name].model_validate(parameters(name))


def test_a_deployment_reads_no_variable_that_provision_does_not_know() -> None:
    assert set(re.findall(r"variable:(\w+)", TEXT)) == PLACES
    assert all(named(name) for name in NAMES)


def named(name: str) -> set[str]:
    return set(re.findall(r"variable:(\w+)", yaml.safe_dump(parameters(name))))


def test_the_file_beside_the_readme_is_the_one_that_is_installed() -> None:
    root = Path(__file__).parents[2]
    assert (root / "prefect.yaml").resolve() == root / "flows" / "prefect.yaml"
    assert (root / "deploy/automations").resolve() == root / "flows" / "automations"
