"""Reads the metrics endpoint of the Ray that this process is connected to, as Prometheus does."""

import time
import urllib.request
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

INTERVAL = ("RAY_metrics_report_interval_ms", "1000")  # to be set before Ray is started


def scraped(
    name: str, label: str = "", *, at_least: float = 0.0, patience_s: float = 10.0
) -> Mapping[str, float]:
    """A series' values by one of its labels, summed; empty where it does not come in time."""
    until = time.monotonic() + patience_s
    while True:
        found = _read(name, label)
        if (found and sum(found.values()) >= at_least) or time.monotonic() > until:
            return found
        time.sleep(0.5)


def _read(name: str, label: str) -> dict[str, float]:
    import ray

    nodes: Any = ray.nodes()
    found: dict[str, float] = defaultdict(float)
    for node in nodes:
        place = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
        with urllib.request.urlopen(place, timeout=30) as answer:
            text = answer.read().decode()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name == name:
                    found[sample.labels.get(label, "")] += sample.value
    return dict(found)
