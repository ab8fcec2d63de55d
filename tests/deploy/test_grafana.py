"""The dashboard shows series that exist, by labels that they have, in panels that fit."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.series import COMMON, SERIES

FOLDER = Path(__file__).parents[2] / "deploy" / "grafana"
BOARD: dict[str, Any] = json.loads((FOLDER / "hcp.json").read_text())
PANELS: list[dict[str, Any]] = BOARD["panels"]
OURS = {series.exported: {*COMMON, *series.labels} for series in SERIES.values()}
OF_RAY = {"NodeAddress", "WorkerId", "SessionName"}


def expressions() -> Iterator[str]:
    for panel in PANELS:
        for target in panel.get("targets", ()):
            yield target["expr"]


def rays_own() -> set[str]:
    """Names of the series that Ray's agent of a node gives."""
    from ray.dashboard.modules.reporter.reporter_agent import METRICS_GAUGES

    return {f"ray_{name}" for name in METRICS_GAUGES}


@pytest.mark.parametrize("expression", sorted(set(expressions())))
def test_every_query_names_a_series_that_exists(expression: str) -> None:
    names = re.findall(r"\bray_\w+", expression)
    assert names
    known = OURS.keys() | rays_own()
    assert [name for name in names if name not in known] == []
    for grouped in re.findall(r"\bby \(([^)]*)\)", expression):
        labels = {label.strip() for label in grouped.split(",")}
        assert labels <= OF_RAY | set.union(*(OURS[name] for name in names))
    for selected in re.findall(r"\{([^}]*)\}", expression):
        assert {pair.split("=")[0].strip() for pair in selected.split(",")} <= set(COMMON)
    counters = [name for name in names if name.endswith("_total")]
    raw = [n for n in counters if not re.search(rf"(rate|increase)\({n}", expression)]
    assert set(raw) <= {"ray_hcp_units_total", "ray_hcp_worker_deaths_total"}  # totals are shown


def test_every_series_of_ours_is_shown() -> None:
    shown = {name for expression in expressions() for name in re.findall(r"\bray_\w+", expression)}
    assert set(OURS) <= shown


def test_legends_use_labels_that_the_query_leaves() -> None:
    for panel in PANELS:
        for target in panel.get("targets", ()):
            legend = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            groups = re.findall(r"\bby \(([^)]*)\)", target["expr"])
            if groups:
                assert legend <= {label.strip() for label in groups[0].split(",")}, panel["title"]


def test_panels_have_their_own_ids_and_places() -> None:
    ids = [panel["id"] for panel in PANELS]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in PANELS:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


def test_the_data_source_is_chosen_where_it_is_looked_at() -> None:
    variables = {each["name"]: each for each in BOARD["templating"]["list"]}
    assert variables["datasource"]["query"] == "prometheus"
    assert {"flow", "run"} <= set(variables)
    for panel in PANELS:
        if panel["type"] != "row":
            assert panel["datasource"]["uid"] == "${datasource}"


def test_prometheus_finds_ray_s_nodes_by_the_file_that_ray_writes() -> None:
    from ray._private.ray_constants import PROMETHEUS_SERVICE_DISCOVERY_FILE

    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    (job,) = config["scrape_configs"]
    (found,) = job["file_sd_configs"]
    assert Path(found["files"][0]).name == PROMETHEUS_SERVICE_DISCOVERY_FILE
