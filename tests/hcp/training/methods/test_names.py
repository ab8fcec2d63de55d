"""Names of methods: what they set, and what is none."""

from dataclasses import replace

import pytest

from hcp.config import HcpConfig
from hcp.training.config import TrainConfig
from hcp.training.methods.names import (
    METHODS,
    VARIANTS,
    LoraConfig,
    RegionConfig,
    split_method,
    with_variants,
)
from hcp.training.methods.table import OBJECTIVES


def test_suffixes_set_the_fields_of_the_layers() -> None:
    mine = HcpConfig(width=16)
    assert with_variants(mine, "hcp") == mine
    assert with_variants(mine, "hcp+value+gate") == replace(mine, value="learned", gate="zero")
    # A suffix says what the method is; a field beside it that says otherwise does not count.
    assert with_variants(replace(mine, start="flat"), "hcp+residual").start == "residual"


def test_a_name_and_the_fields_that_it_stands_for_are_the_same_settings() -> None:
    named = TrainConfig(method="hcp+value+residual").plain()
    assert named == TrainConfig(hcp=HcpConfig(value="learned", start="residual"))
    assert named == TrainConfig(method="hcp+residual+value").plain()
    assert named.plain() == named
    resolved = TrainConfig(method="hcp+gate").resolved(on_gpu=False, native_px=64)
    assert (resolved.method, resolved.hcp.gate) == ("hcp", "zero")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("lorra", "unknown method 'lorra': there are hcp, lora, attention, region, full"),
        ("", "unknown method ''"),
        (
            "hcp+values",
            r"no variant 'values'; there are: \+residual, \+value, \+own, \+pixel, \+gate",
        ),
        ("hcp+", "no variant ''"),
        ("hcp+own+value", "expected one of 'own', 'value'"),
        ("lora+value", "lora has no variant 'value'; there are: none"),
        ("region+half", r"region has no variant 'half'; there are: \+full"),
        ("HCP", "unknown method 'HCP'"),
    ],
)
def test_what_is_no_method_is_said_with_what_there_is(wrong: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        TrainConfig(method=wrong)


def test_every_name_has_its_place_in_each_table() -> None:
    assert set(METHODS) == set(VARIANTS) == {"hcp", *OBJECTIVES}
    assert all(split_method(name) == (name, ()) for name in METHODS)


def test_methods_without_hcp_layers_keep_their_names_and_settings() -> None:
    for method in ("lora", "attention+full", "region", "full"):
        config = TrainConfig(method=method)
        assert config.plain() is config


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (LoraConfig, {"rank": 0}),
        (LoraConfig, {"alpha": 0.0}),
        (LoraConfig, {"alpha": float("nan")}),
        (LoraConfig, {"targets": ()}),
        (RegionConfig, {"inside": -1.0}),
        (RegionConfig, {"inside": 0.0, "outside": 0.0}),
        (RegionConfig, {"inside": float("inf")}),
    ],
)
def test_settings_that_cannot_be(kind: type, wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=f"{kind.__name__}.{next(iter(wrong))}"):
        kind(**wrong)
