"""Prefect's own pages in a real browser: a run's progress, tables and pictures; all seven forms."""

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from flows import ablate_hcp, evaluate_hcp, rebuild_and_train, rebuild_dataset, train_hcp
from flows.cache import cache_dataset
from flows.names import split_dataset
from flows.params import (
    AblateParams,
    CacheParams,
    EvaluateParams,
    RebuildAndTrainParams,
    RebuildParams,
    RetryParams,
    TrainParams,
)
from flows.retry import retry_failed
from tests.browser import Tab, browser, chromium

pytestmark = [
    pytest.mark.prefect,
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(chromium() is None, reason="no Chromium (set HCP_CHROMIUM)"),
]

TEXT = "document.body.innerText"
PATIENCE_S = 90.0


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with browser(tmp_path_factory.mktemp("browser")) as tab:
        tab.size(1280, 1000)
        yield tab


@pytest.fixture(scope="module")
def run(dataset: str, prefect_api: str) -> dict[str, Any]:
    """The real rebuild's flow run, with its artifacts."""
    root = split_dataset(dataset)[0]
    runs = httpx.post(f"{prefect_api}/flow_runs/filter", json={}).raise_for_status().json()
    found = next(r for r in runs if r["parameters"].get("params", {}).get("root") == root)
    wanted = {"artifacts": {"flow_run_id": {"any_": [found["id"]]}}}
    answer = httpx.post(f"{prefect_api}/artifacts/filter", json=wanted).raise_for_status()
    return found | {"artifacts": {each["key"]: each["id"] for each in answer.json()}}


def says(tab: Tab, *words: str) -> None:
    """Wait until the page shows all of these."""
    for word in words:
        tab.wait(f"{TEXT}.includes({json.dumps(word)})", seconds=PATIENCE_S)


def test_a_runs_page_has_its_name_and_all_it_shows(
    tab: Tab, prefect_api: str, run: Mapping[str, Any], dataset: str
) -> None:
    home = prefect_api.removesuffix("/api")
    assert split_dataset(dataset)[1][:8] in run["name"]
    tab.open(f"{home}/runs/flow-run/{run['id']}?tab=Artifacts")
    says(tab, run["name"], "Artifacts")
    end = time.monotonic() + PATIENCE_S
    while not tab.run(f"{TEXT}.includes('Speed of this run')") and time.monotonic() < end:
        tab.run(button("Artifacts"))  # a click before the page listens is lost
        time.sleep(1)
    says(tab, "samples", "extraction", "rejects", "extract", "source", "Speed of this run")

    tab.open(f"{home}/artifacts/artifact/{run['artifacts']['extract']}")
    says(tab, "photos/s", "rejects:", "units")
    tab.wait(f"/100\\s*%/.test({TEXT})", seconds=PATIENCE_S)
    tab.open(f"{home}/artifacts/artifact/{run['artifacts']['rejects']}")
    says(tab, "kept", "no_caption", "what helps", "defect-no-caption.jpg")
    assert tab.run("document.querySelectorAll('table tr').length") >= 5
    tab.open(f"{home}/artifacts/artifact/{run['artifacts']['samples']}")
    drawn = "[...document.querySelectorAll('img')].find((i) => i.src.startsWith('data:image/jpeg'))"
    tab.wait(f"({drawn})?.naturalWidth > 300", seconds=PATIENCE_S)
    assert tab.run(f"({drawn}).getBoundingClientRect().width") > 300


def forms(folder: Path) -> dict[Any, Any]:
    """Each flow, with what its deployment would say."""
    root, out = str(folder / "root"), str(folder / "out")
    rebuild = {"source": str(folder), "root": root}
    train = {"base": "embedded", "out": out}
    return {
        rebuild_dataset: RebuildParams.model_validate(rebuild),
        retry_failed: RetryParams.model_validate(rebuild),
        cache_dataset: CacheParams(dataset=root, base="embedded"),
        train_hcp: TrainParams.model_validate(train | {"dataset": root}),
        evaluate_hcp: EvaluateParams.model_validate(train | {"checkpoint": root}),
        rebuild_and_train: RebuildAndTrainParams.model_validate(
            {"rebuild": rebuild, "train": train, "evaluate": train}
        ),
        ablate_hcp: AblateParams.model_validate(
            {"train": train | {"dataset": root}, "evaluate": train}
        ),
    }


def test_the_forms_of_all_seven_flows_open_and_submit(
    tab: Tab, prefect_api: str, tmp_path: Path
) -> None:
    home = prefect_api.removesuffix("/api")
    for flow, params in forms(tmp_path).items():
        given = {"params": params.model_dump(mode="json", exclude_unset=True)}
        deployment = flow.to_deployment(name="form", parameters=given).apply()
        try:
            tab.open(f"{home}/deployments/deployment/{deployment}/run")
            says(tab, "Submit", "Ray Address")
            tab.wait("document.querySelectorAll('input').length > 5", seconds=PATIENCE_S)
            tab.run(button("Submit"))
            tab.wait("!location.pathname.endsWith('/run')", seconds=PATIENCE_S)
            wanted = {"deployments": {"id": {"any_": [str(deployment)]}}}
            (made,) = httpx.post(f"{prefect_api}/flow_runs/filter", json=wanted).json()
            # What the form makes of the defaults is what our own classes make of them.
            assert type(params).model_validate(made["parameters"]["params"]) == params
            httpx.delete(f"{prefect_api}/flow_runs/{made['id']}").raise_for_status()
        finally:
            httpx.delete(f"{prefect_api}/deployments/{deployment}").raise_for_status()


def button(text: str) -> str:
    """A click on what has this text."""
    return (
        "[...document.querySelectorAll('button, a, [role=tab], li, span')]"
        f".find((node) => node.innerText.trim() === {json.dumps(text)}).click()"
    )
