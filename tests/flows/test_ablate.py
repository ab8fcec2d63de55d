"""The variants of an ablation: valid, different, and one idea each."""

from dataclasses import fields

import pytest

from flows.ablate import VARIANTS, ablate_hcp
from flows.params import AblateParams, EvaluateSettings, TrainParams
from hcp.config import AlignmentConfig, HcpConfig
from hcp.training.config import TrainConfig
from hcp.training.methods.names import METHODS
from storage.errors import HcpError


def changed(config: TrainConfig, default: TrainConfig) -> set[str]:
    """Names of the settings that differ, ``hcp``'s and alignment's own included."""
    found: set[str] = set()
    todo: list[tuple[str, object, object]] = [("", config, default)]
    while todo:
        prefix, ours, theirs = todo.pop()
        for field in fields(ours):
            name, one, other = (
                prefix + field.name,
                getattr(ours, field.name),
                getattr(theirs, field.name),
            )
            if name in ("hcp", "hcp.alignment"):
                todo.append((f"{name}.", one, other))
            elif one != other:
                found.add(name)
    return found


def test_each_variant_changes_one_thing() -> None:
    configs = {name: change(TrainConfig()) for name, change in VARIANTS.items()}
    default = configs.pop("default")
    assert default == TrainConfig()
    ideas = {name: changed(config, default) for name, config in configs.items()}
    # a stage that gets layers must get a loss too
    assert ideas.pop("all-stages") == {"hcp.stages", "hcp.alignment.stages"}
    assert ideas.pop("residual-and-value") == {"hcp.start", "hcp.value"}  # the two ideas together
    assert {name: len(idea) for name, idea in ideas.items()} == dict.fromkeys(ideas, 1)
    every = [default, *configs.values()]
    assert all(every.count(config) == 1 for config in every)


def test_variants_change_the_parameters_own_settings() -> None:
    mine = HcpConfig(width=64, gate="zero", alignment=AlignmentConfig(alpha=0.5))
    for name, change in VARIANTS.items():
        config = change(TrainConfig(seed=7, hcp=mine))
        assert (config.seed, config.hcp.width, config.hcp.gate) == (7, 64, "zero")
        assert (config.hcp.alignment.alpha == 0.5) == (name != "no-alignment")


def test_variants_do_what_they_are_called() -> None:
    variant = {name: change(TrainConfig()).hcp for name, change in VARIANTS.items()}
    assert variant["no-alignment"].alignment.alpha == 0
    assert variant["gate-zero"].gate == "zero"
    assert variant["mid-only"].stages == ("mid",)
    swapped, table = variant["step-swapped"].alignment.stages, AlignmentConfig().stages
    assert (swapped.mid, swapped.up) == (table.up, table.mid)
    assert variant["pose-only"].alignment.priors.names() == ("heatmap",)


def test_every_method_is_a_variant_of_its_own_name() -> None:
    for name in set(METHODS) - {"hcp"}:
        assert VARIANTS[name](TrainConfig()) == TrainConfig(method=name)


def test_an_unknown_variant_is_named_with_those_that_exist() -> None:
    train = TrainParams(dataset="nowhere", base="embedded", out="out")
    evaluate = EvaluateSettings(base="embedded", out="out")
    params = AblateParams(train=train, evaluate=evaluate, variants=("default", "nonsense"))
    with pytest.raises(HcpError, match=r"\['nonsense'\]; there are: default, no-alignment"):
        ablate_hcp.fn(params)  # before any work, hence without Ray and Prefect
