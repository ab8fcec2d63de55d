"""The variants of an ablation: valid, different, and one idea each."""

from dataclasses import fields

import pytest

from flows.ablate import VARIANTS, ablate_hcp
from flows.params import AblateParams, EvaluateSettings, TrainParams
from hcp.config import AlignmentConfig, HcpConfig
from storage.errors import HcpError


def changed(config: HcpConfig) -> set[str]:
    """Names of the settings, alignment's own included, that differ from the default."""
    default = HcpConfig()
    pairs = [("", config, default), ("alignment.", config.alignment, default.alignment)]
    return {
        prefix + field.name
        for prefix, ours, theirs in pairs
        for field in fields(ours)
        if field.name != "alignment" and getattr(ours, field.name) != getattr(theirs, field.name)
    }


def test_each_variant_changes_one_thing() -> None:
    assert VARIANTS["default"] == HcpConfig()
    ideas = {name: changed(config) for name, config in VARIANTS.items() if name != "default"}
    # a stage that gets layers must get a loss too
    assert ideas.pop("all-stages") == {"stages", "alignment.stages"}
    assert {name: len(idea) for name, idea in ideas.items()} == dict.fromkeys(ideas, 1)
    configs = [config.to_json() for config in VARIANTS.values()]
    assert all(configs.count(config) == 1 for config in configs)


def test_variants_leave_to_the_parameters_what_is_theirs() -> None:
    default = HcpConfig()
    for config in VARIANTS.values():
        mine = (config.width, config.gamma, config.init_seed)
        assert mine == (default.width, default.gamma, default.init_seed)


def test_variants_do_what_they_are_called() -> None:
    assert VARIANTS["no-alignment"].alignment.alpha == 0
    assert VARIANTS["gate-zero"].gate == "zero"
    assert VARIANTS["mid-only"].stages == ("mid",)
    swapped, table = VARIANTS["step-swapped"].alignment.stages, AlignmentConfig().stages
    assert (swapped.mid, swapped.up) == (table.up, table.mid)
    assert VARIANTS["pose-only"].alignment.priors.names() == ("heatmap",)


def test_an_unknown_variant_is_named_with_those_that_exist() -> None:
    train = TrainParams(dataset="nowhere", base="embedded", out="out")
    evaluate = EvaluateSettings(base="embedded", out="out")
    params = AblateParams(train=train, evaluate=evaluate, variants=("default", "nonsense"))
    with pytest.raises(HcpError, match=r"\['nonsense'\]; there are: default, no-alignment"):
        ablate_hcp.fn(params)  # before any work, hence without Ray and Prefect
