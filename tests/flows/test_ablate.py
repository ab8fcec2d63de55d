"""The variants of an ablation: valid, different, and one idea each."""

from dataclasses import fields

import pytest

from flows.ablate import VARIANTS, ablate_hcp
from flows.params import AblateParams, EvaluateSettings, TrainParams
from hcp.config import AlignmentConfig, HcpConfig
from storage.errors import HcpError


def changed(config: HcpConfig, default: HcpConfig) -> set[str]:
    """Names of the settings, alignment's own included, that differ."""
    pairs = [("", config, default), ("alignment.", config.alignment, default.alignment)]
    return {
        prefix + field.name
        for prefix, ours, theirs in pairs
        for field in fields(ours)
        if field.name != "alignment" and getattr(ours, field.name) != getattr(theirs, field.name)
    }


def test_each_variant_changes_one_thing() -> None:
    configs = {name: change(HcpConfig()) for name, change in VARIANTS.items()}
    default = configs.pop("default")
    assert default == HcpConfig()
    ideas = {name: changed(config, default) for name, config in configs.items()}
    # a stage that gets layers must get a loss too
    assert ideas.pop("all-stages") == {"stages", "alignment.stages"}
    assert ideas.pop("residual-and-value") == {"start", "value"}  # the two ideas together
    assert {name: len(idea) for name, idea in ideas.items()} == dict.fromkeys(ideas, 1)
    every = [config.to_json() for config in (default, *configs.values())]
    assert all(every.count(config) == 1 for config in every)


def test_variants_change_the_parameters_own_settings() -> None:
    mine = HcpConfig(width=64, gate="zero", alignment=AlignmentConfig(alpha=0.5))
    for name, change in VARIANTS.items():
        config = change(mine)
        assert (config.width, config.gate) == (64, "zero")
        assert (config.alignment.alpha == 0.5) == (name != "no-alignment")


def test_variants_do_what_they_are_called() -> None:
    variant = {name: change(HcpConfig()) for name, change in VARIANTS.items()}
    assert variant["no-alignment"].alignment.alpha == 0
    assert variant["gate-zero"].gate == "zero"
    assert variant["mid-only"].stages == ("mid",)
    swapped, table = variant["step-swapped"].alignment.stages, AlignmentConfig().stages
    assert (swapped.mid, swapped.up) == (table.up, table.mid)
    assert variant["pose-only"].alignment.priors.names() == ("heatmap",)


def test_an_unknown_variant_is_named_with_those_that_exist() -> None:
    train = TrainParams(dataset="nowhere", base="embedded", out="out")
    evaluate = EvaluateSettings(base="embedded", out="out")
    params = AblateParams(train=train, evaluate=evaluate, variants=("default", "nonsense"))
    with pytest.raises(HcpError, match=r"\['nonsense'\]; there are: default, no-alignment"):
        ablate_hcp.fn(params)  # before any work, hence without Ray and Prefect
