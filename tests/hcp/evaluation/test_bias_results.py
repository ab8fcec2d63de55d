"""Settings of the bias measure."""

from collections.abc import Callable

import pytest

from hcp.evaluation.bias_results import BiasConfig


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda: BiasConfig(prompts=("a person", "a red car")),
            "1 of 2 have no human word.*red car",
        ),
        (lambda: BiasConfig(seeds=()), "at least one"),
        (lambda: BiasConfig(seeds=(1, 2, 1)), "different numbers"),
        (lambda: BiasConfig(seeds=(-1,)), "different numbers"),
        (lambda: BiasConfig(presentation=(("a man", "a man"),)), "two different texts"),
        (lambda: BiasConfig(presentation=(("a man", " "),)), "two different texts"),
        (lambda: BiasConfig(alpha=0.0), "alpha and power"),
        (lambda: BiasConfig(power=1.0), "alpha and power"),
        (lambda: BiasConfig(n_permutations=0), "n_permutations"),
    ],
)
def test_settings_that_cannot_be_are_named(make: Callable[[], BiasConfig], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()
