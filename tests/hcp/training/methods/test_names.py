"""Names of methods: what they set, and what is none."""

from dataclasses import replace

import pytest

from hcp.config import HcpConfig
from hcp.training.config import TrainConfig
from hcp.training.methods.names import METHODS, split_method, with_variants
from hcp.training.methods.table import MAKERS


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
        ("hcp+values", r"no variant 'values'; hcp has \+residual, \+value, \+gate"),
        ("hcp+", "no variant ''"),
        ("lora+value", "lora has no variant 'value'"),
        ("HCP", "unknown method 'HCP'"),
    ],
)
def test_what_is_no_method_is_said_with_what_there_is(wrong: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        TrainConfig(method=wrong)


def test_every_name_has_its_maker() -> None:
    assert set(MAKERS) <= set(METHODS)
    assert all(split_method(name) == (name, ()) for name in METHODS)
