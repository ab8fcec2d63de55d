"""What our runs put into Ray's metrics endpoint, read from there."""

import time
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from flows.ray_metrics import Metered, Recorder, RunLabels, TrainingMetrics, UnitMetrics
from flows.ray_session import ray_session
from flows.series import COMMON, SERIES, UNITS, Pace, Value
from hcp.training.watching import Validation
from priors.reports import UnitReport
from storage.records import SourceRecord, Unit
from tests.flows.metrics_endpoint import INTERVAL, scraped
from tests.flows.test_series import REPORT, STEP


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """Says that it computed ``REPORT``, and takes the time of it."""

    def process(self, unit: Unit, *, poison: Set[str]) -> UnitReport:
        time.sleep(0.1)
        return REPORT

    def probe(self, records: Sequence[SourceRecord]) -> int:
        return len(records)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[None]:
    import sys

    from ray import cloudpickle

    module = sys.modules[__name__]
    cloudpickle.register_pickle_by_value(module)  # workers cannot import test modules
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(*INTERVAL)
        with ray_session("local"):
            yield
    cloudpickle.unregister_pickle_by_value(module)


@pytest.mark.ray
@pytest.mark.slow
def test_every_series_is_in_ray_s_endpoint(endpoint: None) -> None:
    from priors.config import PoolConfig
    from priors.pool import run_units

    meter, training = UnitMetrics(), TrainingMetrics(Pace(steps=9, images=8, workers=1))
    series_of_workers = ("hcp_models_busy", "hcp_workers")
    for metrics in (STEP, Validation(step=3, loss=0.7)):
        training(metrics)
    units = [Unit(fingerprint=f"{i:032}", records=()) for i in range(3)]
    labels = RunLabels(flow="rebuild-dataset", run="a run")
    busy: set[float] = set()

    def on_report(report: UnitReport) -> None:
        meter(report)
        if not busy:  # while the worker is there, whose series they are
            busy.update(scraped("ray_hcp_models_busy", patience_s=30).values())
            assert scraped("ray_hcp_workers", "run") == {"a run": 1.0}

    pool = run_units(
        units, make_extractor=Metered(make=Worker, labels=labels), on_report=on_report,
        config=PoolConfig(count=1),
    )  # fmt: skip
    meter.ended(pool)
    meter.record([Value(series=SERIES["hcp_worker_deaths"], number=1)])
    assert busy
    assert all(0 < share <= 1 for share in busy)
    assert sum(scraped("ray_hcp_units_total", at_least=3, patience_s=30).values()) == 3
    photos = scraped("ray_hcp_photos_total", "outcome", at_least=24)
    assert photos == {"kept": 18.0, "rejected": 6.0}
    assert scraped("ray_hcp_rejects_total", "reason") == {"no_person": 6.0}
    assert scraped("ray_hcp_stage_seconds_total", "stage") == {"pose": 1.5, "masks": 4.5}
    assert scraped("ray_hcp_loss", "part") == {"loss": 0.5, "denoise": 0.4, "alignment": 0.2}
    for series in SERIES.values():
        if series.name not in ("hcp_data_wait", *series_of_workers):  # not measured; seen above
            assert scraped(series.exported), series.name
    assert scraped("ray_node_cpu_utilization", "ip", patience_s=30)  # Ray's own, on the dashboard
    training.close()
    meter.record.close()
    until = time.monotonic() + 30
    while scraped("ray_hcp_loss", patience_s=0) and time.monotonic() < until:
        time.sleep(0.5)
    assert not scraped("ray_hcp_loss", patience_s=0)  # a training that has ended has no loss


def test_a_ray_that_takes_no_values_ends_no_run(caplog: pytest.LogCaptureFixture) -> None:
    record = Recorder(labels=RunLabels(flow="", run=""))
    broken: Any = "no number"
    for _ in range(3):
        record([Value(series=UNITS, number=broken)])
    assert caplog.text.count("Ray's metrics take no values, the run goes on") == 1


def test_outside_a_flow_run_the_labels_are_empty() -> None:
    assert RunLabels.now() == RunLabels(flow="", run="")
    assert COMMON == ("flow", "run")


def test_the_endpoint_s_text_is_what_prometheus_reads() -> None:
    text = '# TYPE ray_hcp_units_total counter\nray_hcp_units_total{flow="a"} 2.0\n'
    (family,) = text_string_to_metric_families(text)
    assert family.samples[0].value == 2.0
