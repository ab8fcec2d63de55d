"""Links of a run to the pages of other tools."""

from types import SimpleNamespace

import pytest

from flows.links import dashboard_page, model_page, show_dashboard, show_model
from tests.flows.test_artifacts import shown

ENTRY = {"name": "hcp layer", "version": "3"}


@pytest.mark.parametrize(
    ("url", "page"),
    [
        ("127.0.0.1:8265", "http://127.0.0.1:8265/#/jobs/0100"),
        ("https://ray.example/", "https://ray.example/#/jobs/0100"),
        ("", None),
        (None, None),
    ],
)
def test_the_dashboards_page_of_a_job(url: str | None, page: str | None) -> None:
    assert dashboard_page(url, "0100") == page


@pytest.mark.parametrize(
    ("uri", "page"),
    [
        ("http://mlflow:5000/", "http://mlflow:5000/#/models/hcp%20layer/versions/3"),
        ("sqlite:////data/registry.db", None),
        ("postgresql://user:secret@host/db", None),
    ],
)
def test_the_page_of_a_model(uri: str, page: str | None) -> None:
    assert model_page(uri, ENTRY) == page


def test_outside_of_a_run_nothing_is_linked() -> None:
    show_dashboard(SimpleNamespace(dashboard_url="127.0.0.1:8265"), "0100")


@pytest.mark.prefect
def test_links_arrive(prefect_api: str) -> None:
    def work() -> None:
        show_dashboard(SimpleNamespace(dashboard_url="127.0.0.1:8265"), "0100")
        show_dashboard(SimpleNamespace(dashboard_url=""), "0100")
        show_model("http://mlflow:5000", ENTRY)

    found = shown(prefect_api, work)
    assert found["ray-dashboard"]["data"].endswith("(http://127.0.0.1:8265/#/jobs/0100)")
    assert found["mlflow-model"]["data"].endswith("/versions/3)")
