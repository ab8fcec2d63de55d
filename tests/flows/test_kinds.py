"""Each flow's parameters by its name, and their settings."""

from flows import ablate_hcp, evaluate_hcp, rebuild_and_train, rebuild_dataset, train_hcp
from flows.cache import cache_dataset
from flows.kinds import KINDS, setting_paths
from flows.retry import retry_failed

FLOWS = (
    rebuild_dataset, retry_failed, cache_dataset, train_hcp, evaluate_hcp, rebuild_and_train,
    ablate_hcp,
)  # fmt: skip


def test_each_flow_is_there_with_the_parameters_that_it_takes() -> None:
    assert {flow.name for flow in FLOWS} == set(KINDS)
    for flow in FLOWS:
        assert flow.fn.__annotations__["params"] is KINDS[flow.name]


def test_settings_of_all_flows_are_there() -> None:
    found = setting_paths()
    assert {("unit_size",), ("training", "hcp", "width"), ("reasons",)} <= found
    assert ("rebuild", "extractor", "imgsz") in found
    assert ("training", "no_such") not in found
