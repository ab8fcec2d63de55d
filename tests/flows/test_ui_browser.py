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
from tests.browser import NEEDS_CHROMIUM, Tab, browser

pytestmark = [
    pytest.mark.prefect,
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    NEEDS_CHROMIUM,
]

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
    oldest_first = {"sort": "START_TIME_ASC"}  # later ones of this root found nothing to do
    answer = httpx.post(f"{prefect_api}/flow_runs/filter", json=oldest_first)
    runs = answer.raise_for_status().json()
    found = next(r for r in runs if r["parameters"].get("params", {}).get("root") == root)
    wanted = {"artifacts": {"flow_run_id": {"any_": [found["id"]]}}}
    answer = httpx.post(f"{prefect_api}/artifacts/filter", json=wanted).raise_for_status()
    return found | {"artifacts": {each["key"]: each["id"] for each in answer.json()}}


def says(tab: Tab, *words: str) -> None:
    """Wait until the page shows all of these."""
    for word in words:
        tab.wait(shown(word), seconds=PATIENCE_S)


def shown(text: str) -> str:
    """Whether the page shows it."""
    return f"document.body.innerText.includes({json.dumps(text)})"


def test_a_runs_page_has_its_name_and_all_it_shows(
    tab: Tab, prefect_api: str, run: Mapping[str, Any], dataset: str
) -> None:
    home = prefect_api.removesuffix("/api")
    assert split_dataset(dataset)[1][:8] in run["name"]
    page = f"{home}/runs/flow-run/{run['id']}"
    tab.open(page)
    says(tab, run["name"], "Artifacts")
    tab.reach(shown("Speed of this run"), by=button("Artifacts"), url=page, seconds=PATIENCE_S)
    says(tab, "samples", "extraction", "rejects", "extract", "source")

    tab.open(f"{home}/artifacts/artifact/{run['artifacts']['extract']}")
    says(tab, "photos/s", "rejects:", "units")
    tab.wait(r"/100\s*%/.test(document.body.innerText)", seconds=PATIENCE_S)
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
            page = f"{home}/deployments/deployment/{deployment}/run"
            tab.open(page)
            says(tab, "Submit", "Ray Address")
            tab.wait("document.querySelectorAll('input').length > 5", seconds=PATIENCE_S)
            gone = "!location.pathname.endsWith('/run')"
            tab.reach(gone, by=button("Submit"), url=page, seconds=PATIENCE_S)
            wanted = {"deployments": {"id": {"any_": [str(deployment)]}}}
            every = httpx.post(f"{prefect_api}/flow_runs/filter", json=wanted).json()
            assert every
            for made in every:  # one, or one for each click that a slow page took
                # What the form makes of the defaults is what our own classes make of them.
                assert type(params).model_validate(made["parameters"]["params"]) == params
                delete(f"{prefect_api}/flow_runs/{made['id']}")
        finally:
            delete(f"{prefect_api}/deployments/{deployment}")


def delete(url: str) -> None:
    """Also from a server whose database is busy for a while."""
    end = time.monotonic() + PATIENCE_S
    while (answer := httpx.delete(url)).status_code not in (204, 404):
        assert time.monotonic() < end, answer.text
        time.sleep(1)


def button(text: str) -> str:
    """A click on what has this text, if it is there."""
    return (
        "[...document.querySelectorAll('button, a, [role=tab], li, span')]"
        f".find((node) => node.innerText.trim() === {json.dumps(text)})?.click()"
    )
