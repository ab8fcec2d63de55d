"""The deployments' parameters, with their variables set and unset, without a server."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

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


def parameters(name: str, variables: dict[str, str]) -> Any:
    """As Prefect fills the template: an unset variable is an empty string."""
    text = re.sub(r"\{\{ \$(\w+) \}\}", lambda m: variables.get(m.group(1), ""), TEXT)
    found = [d for d in yaml.safe_load(text)["deployments"] if d["entrypoint"].endswith(f":{name}")]
    assert len(found) == 1
    return found[0]["parameters"]["params"]


@pytest.mark.parametrize("name", NAMES)
def test_with_its_variables_a_deployment_fits_its_flow(name: str) -> None:
    variables = {v: f"/data/{v.lower()}" for v in set(re.findall(r"\$(HCP_\w+)", TEXT))}
    KINDS[name].model_validate(parameters(name, variables))


@pytest.mark.parametrize("name", NAMES)
def test_without_them_every_place_is_refused_by_its_name(name: str) -> None:
    with pytest.raises(ValidationError) as refused:
        KINDS[name].model_validate(parameters(name, {}))
    errors = refused.value.errors()
    assert all("is empty: a variable that is not set" in e["msg"] for e in errors)
    places = {"source", "root", "base", "out", "dataset", "checkpoint"}
    assert {str(e["loc"][-1]) for e in errors} <= places
    n_variables = len(re.findall(r"\{\{ \$HCP", yaml.safe_dump(template(name))))
    assert len(errors) == n_variables


def template(name: str) -> Any:
    loaded = yaml.safe_load(TEXT)["deployments"]
    (found,) = [d for d in loaded if d["entrypoint"].endswith(f":{name}")]
    return yaml.safe_load(yaml.safe_dump(found["parameters"]["params"]))
