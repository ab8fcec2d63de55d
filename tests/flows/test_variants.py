"""The variants of an ablation: valid, different, one idea each, and the user's own."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import pytest

from flows.params import TrainParams
from flows.variants import (
    DEFAULT,
    QUESTIONS,
    VARIANTS,
    asked_questions,
    chosen,
    same_as_default,
    seeded,
    settings_digest,
    variant_params,
)
from hcp.config import AlignmentConfig, HcpConfig
from hcp.training.config import Mixed, TrainConfig
from hcp.training.methods.names import METHODS
from storage.errors import HcpError


def given(config: TrainConfig | None = None) -> TrainParams:
    return TrainParams(
        dataset="nowhere", base="embedded", out="out", training=config or TrainConfig()
    )


def training(name: str, config: TrainConfig | None = None) -> TrainConfig:
    return variant_params(given(config), name, VARIANTS[name]).training


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


def test_each_variant_changes_one_thing_or_says_what_the_default_says() -> None:
    configs = {name: training(name) for name in VARIANTS}
    default = configs.pop(DEFAULT)
    assert default == TrainConfig()
    ideas = {name: changed(config, default) for name, config in configs.items()}
    # a stage that gets layers must get a loss too
    for name in ("all-stages", "down-only"):
        assert ideas.pop(name) == {"hcp.stages", "hcp.alignment.stages"}
    assert ideas.pop("residual-and-value") == {"hcp.start", "hcp.value"}  # the two ideas together
    # values of ones own begin at nothing, so gamma may be large
    for name in ("own-value", "pixel-value"):
        assert ideas.pop(name) == {"hcp.start", "hcp.value", "hcp.gamma"}
    assert max(map(len, ideas.values())) == 1
    different = [config for config in configs.values() if config != default]
    assert all(different.count(config) == 1 for config in different)


def test_every_variant_answers_a_question() -> None:
    asked = [name for question in QUESTIONS.values() for name in question.variants]
    assert sorted(asked) == sorted(set(VARIANTS) - {DEFAULT})


def test_the_names_of_before_stay_valid() -> None:
    before = (
        "default", "no-alignment", "gate-zero", "residual-start", "learned-value",
        "residual-and-value", "scale-only", "step-swapped", "mid-only", "all-stages",
        "centred-cosine", "pose-only", "lora", "attention", "region", "full",
    )  # fmt: skip
    assert set(before) <= set(VARIANTS)


def test_variants_change_the_parameters_own_settings() -> None:
    mine = HcpConfig(width=48, activation="relu", alignment=AlignmentConfig(alpha=0.3))
    for name in VARIANTS:
        config = training(name, TrainConfig(seed=7, hcp=mine))
        assert (config.seed, config.hcp.activation) == (7, "relu")
        assert (config.hcp.width == 48) == (not name.startswith("width"))
        assert (config.hcp.alignment.alpha == 0.3) == (not name.startswith(("no-", "alpha")))


def test_variants_do_what_they_are_called() -> None:
    variant = {name: training(name).hcp for name in VARIANTS}
    stages = {name: config.alignment.stages for name, config in variant.items()}
    table = AlignmentConfig().stages
    assert variant["no-alignment"].alignment.alpha == 0
    assert variant["gate-zero"].gate == "zero"
    assert [variant[f"{n}-only"].stages for n in ("down", "mid", "up")] == [
        ("down",), ("mid",), ("up",),
    ]  # fmt: skip
    assert stages["down-only"].down == stages["all-stages"].down == "constant"
    assert (stages["step-swapped"].mid, stages["step-swapped"].up) == (table.up, table.mid)
    assert {stages["early"].mid, stages["early"].up} == {"early"}
    assert {stages["late"].mid, stages["late"].up} == {"late"}
    assert {stages["scale-only"].mid, stages["scale-only"].up} == {"constant"}
    assert (stages["loss-mid"].up, stages["loss-up"].mid) == ("off", "off")
    assert variant["pose-only"].alignment.priors.names() == ("heatmap",)
    assert variant["mask-only"].alignment.priors.names() == ("mask",)
    assert variant["resnet50-only"].alignment.priors.names() == ("resnet50",)
    assert stages["scale-and-step"] == table  # the paper's
    assert [variant[f"width-{n}"].width for n in (64, 256, 1024)] == [64, 256, 1024]


def test_low_and_high_half_and_double_are_of_the_parameters_own_values() -> None:
    mine = TrainConfig(hcp=HcpConfig(gamma=10.0, alignment=AlignmentConfig(alpha=0.02)))
    alphas = [training(f"alpha-{n}", mine).hcp.alignment.alpha for n in ("low", "high")]
    assert alphas == pytest.approx([0.004, 0.1])
    assert [training(f"gamma-{n}", mine).hcp.gamma for n in ("half", "double")] == [5.0, 20.0]
    # What the base's values are changed by has their size; gamma 10 is for values of ones own.
    assert training("frozen-value", mine).hcp.gamma == 1.0
    assert f"{VARIANTS['gamma-half']['hcp.gamma']}" == "0.5 times the default's"


def test_every_method_is_a_variant_of_its_own_name() -> None:
    for name in set(METHODS) - {"hcp"}:
        assert training(name) == TrainConfig(method=name)


def test_a_suffix_of_the_method_does_not_undo_a_variant() -> None:
    config = TrainConfig(method="hcp+residual+value")
    assert training("frozen-value", config).hcp.value == "frozen"
    assert training("frozen-value", config).hcp.start == "residual"
    trainings = {n: variant_params(given(config), n, VARIANTS[n]) for n in VARIANTS}
    assert "residual-and-value" in set(same_as_default(trainings))
    assert "frozen-value" not in set(same_as_default(trainings))


def test_what_says_the_same_as_the_parameters_is_the_default() -> None:
    trainings = {name: variant_params(given(), name, VARIANTS[name]) for name in VARIANTS}
    assert {"cosine", "pairing", "gate-fixed"} <= set(same_as_default(trainings))
    centred = TrainConfig(hcp=HcpConfig(alignment=AlignmentConfig(distance="centred_cosine")))
    trainings = {name: variant_params(given(centred), name, VARIANTS[name]) for name in VARIANTS}
    assert "centred-cosine" in set(same_as_default(trainings))
    assert "cosine" not in set(same_as_default(trainings))


@pytest.mark.parametrize(
    ("variants", "questions", "own", "expected"),
    [
        (("mid-only",), (), {}, ["default", "mid-only"]),
        ((), ("gate", "distance"), {},
         ["default", "gate-fixed", "gate-zero", "cosine", "centred-cosine"]),
        (("lora",), ("gate",), {"mine": {"steps": 3}},
         ["default", "lora", "gate-fixed", "gate-zero", "mine"]),
        ((), (), {"mine": {"steps": 3}}, ["default", "mine"]),
        (("mine", "default"), (), {"mine": {"steps": 3}}, ["default", "mine"]),
        ((), (), {}, list(VARIANTS)),
    ],
)  # fmt: skip
def test_what_is_asked_for_is_run_beside_the_default(
    variants: tuple[str, ...], questions: tuple[str, ...], own: Mapping[str, Any],
    expected: list[str],
) -> None:  # fmt: skip
    assert list(chosen(variants, questions, own)) == expected


@pytest.mark.parametrize(
    ("variants", "questions", "own", "said"),
    [
        (("nonsense",), (), {}, r"unknown variants \['nonsense'\]; there are: default, no-al"),
        ((), ("what",), {}, r"unknown questions \['what'\]; there are: loss, schedule"),
        ((), (), {"lora": {}}, "own variant 'lora': expected a name"),
        ((), (), {"../up": {}}, "own variant '../up': expected a name"),
        ((), (), {"": {}}, "own variant '': expected a name"),
    ],
)
def test_an_unknown_name_is_told_with_those_that_exist(
    variants: tuple[str, ...], questions: tuple[str, ...], own: Mapping[str, Any], said: str
) -> None:
    with pytest.raises(HcpError, match=said):
        chosen(variants, questions, own)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"hcp.widht": 3}, "training.hcp.widht: there is no such setting; did you mean"),
        ({"hcp.width": 0}, "HcpConfig.width must be >= 1, got 0"),
        ({"hcp.width": "wide"}, "hcp.width: Input should be a valid integer.* got 'wide'"),
        ({"hcp": 3}, "hcp: Input should be a dictionary"),
        ({"hcp.width.x": 3}, "training.hcp.width.x: width holds no further settings"),
        ({"": 3}, "there is no such setting"),
        ({"method": "magic"}, "unknown method 'magic'"),
        ({"data.also": [{"dataset": " "}]}, "data.also: dataset is empty"),
    ],
)
def test_a_setting_that_cannot_be_is_told_with_its_variant(
    changes: Mapping[str, Any], said: str
) -> None:
    with pytest.raises(HcpError, match=f"variant 'mine': .*{said}"):
        variant_params(given(), "mine", changes)


def test_an_own_variant_reaches_any_setting_of_the_training() -> None:
    flat = variant_params(given(), "mine", {"hcp.width": 8, "training.hcp.alignment.alpha": 0.3})
    nested = variant_params(given(), "mine", {"hcp": {"width": 8, "alignment": {"alpha": 0.3}}})
    assert flat == nested
    assert (flat.training.hcp.width, flat.training.hcp.alignment.alpha) == (8, 0.3)
    assert flat.training.hcp.stages == HcpConfig().stages
    mixed = variant_params(given(), "mine", {"data.also": [{"dataset": "/other", "weight": 0.5}]})
    assert mixed.training.data.also == (Mixed(dataset="/other", weight=0.5),)


def test_questions_are_those_that_what_was_run_can_answer() -> None:
    found = asked_questions(["default", "gate-zero", "lora", "mine"])
    assert {key: question.variants for key, question in found.items()} == {
        "gate": ("gate-zero",), "method": ("lora",), "own": ("mine",),
    }  # fmt: skip


def test_a_seed_is_that_of_the_order_the_noise_and_all_new_weights() -> None:
    config = seeded(given(), 5).training
    assert (config.seed, config.hcp.init_seed, config.lora.init_seed) == (5, 5, 5)
    assert changed(config, TrainConfig()) == {"seed", "hcp.init_seed", "lora"}


def test_the_digest_counts_what_is_trained_and_not_how_it_is_watched() -> None:
    plain = settings_digest(TrainConfig())
    assert settings_digest(TrainConfig(tensorboard=True)) == plain
    assert settings_digest(TrainConfig(method="hcp+gate")) == settings_digest(
        TrainConfig(hcp=HcpConfig(gate="zero"))
    )
    for config in (TrainConfig(steps=3), TrainConfig(seed=1), TrainConfig(method="lora")):
        assert settings_digest(config) != plain
