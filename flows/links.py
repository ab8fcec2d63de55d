"""Links of a run to other tools' pages: Ray's dashboard, the registered model in MLflow."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from prefect.context import FlowRunContext, TaskRunContext

from flows.artifacts import publish_link
from storage.mlflow_calls import without_secrets


def show_dashboard(context: Any, job: str) -> None:
    """Link the run to its job on Ray's dashboard, where the cluster has one.

    Args:
        context: what ``ray.init`` gave.
        job: the id of the driver's job, as hex digits.
    """
    page = dashboard_page(getattr(context, "dashboard_url", None), job)
    inside_run = FlowRunContext.get() or TaskRunContext.get()
    if page is not None and inside_run is not None:
        said = "Ray dashboard of this run's work; it asks for Ray's token, ~/.ray/auth_token"
        publish_link("ray-dashboard", page, description=said)


def dashboard_page(url: str | None, job: str) -> str | None:
    """The job's page; None where there is no dashboard."""
    if not url:
        return None
    home = url if "://" in url else f"http://{url}"
    return f"{home.rstrip('/')}/#/jobs/{job}"


def show_model(tracking_uri: str, entry: Mapping[str, str]) -> None:
    """Link the run to a registered model's page, where MLflow is a server.

    Args:
        tracking_uri: of the registry.
        entry: ``name`` and ``version``.
    """
    page = model_page(tracking_uri, entry)
    if page is not None:
        said = f"MLflow: {entry['name']}, version {entry['version']}"
        publish_link("mlflow-model", page, description=said)


def model_page(tracking_uri: str, entry: Mapping[str, str]) -> str | None:
    """The page of a version; None where no server shows it."""
    if not tracking_uri.startswith(("http://", "https://")):
        return None
    home = without_secrets(tracking_uri).rstrip("/")
    return f"{home}/#/models/{quote(entry['name'], safe='')}/versions/{entry['version']}"
