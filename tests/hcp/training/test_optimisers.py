"""Every optimizer goes on from its saved state, and a rate is a function of the step."""

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline
from diffusers.optimization import get_cosine_schedule_with_warmup, get_linear_schedule_with_warmup
from safetensors.torch import load, save
from torch import Tensor, nn

from hcp import HcpAdapter
from hcp.training.optimisers import (
    OptimizerConfig,
    OptimizerName,
    Schedule,
    check_same_optimizer,
    make_optimizer,
    restore_state,
    state_numbers,
    state_tensors,
    weights_for_use,
)
from hcp.training.state import load_checkpoint, save_checkpoint
from hcp.training.trainer import Trainer
from storage.errors import CheckpointError, MissingExtraError
from tests.hcp.training.tiny_runs import CONFIG, run

MakePipeline = Callable[[int], StableDiffusionPipeline]

bnb = pytest.mark.skipif(find_spec("bitsandbytes") is None, reason="needs the extra hcp[bnb]")
NAMES = ("adamw", pytest.param("adamw-8bit", marks=bnb), "schedule-free")


def named_parameters() -> dict[str, nn.Parameter]:
    """One that bitsandbytes quantizes, and one that it does not."""
    generator = torch.Generator().manual_seed(0)
    shapes = {"hcp.mid.phi.0.weight": (96, 64), "hcp.mid.gate": (1,)}
    return {
        name: nn.Parameter(torch.randn(shape, generator=generator))
        for name, shape in shapes.items()
    }


def optimizer_of(
    named: Mapping[str, nn.Parameter], config: OptimizerConfig
) -> torch.optim.Optimizer:
    return make_optimizer(list(named.values()), config, learning_rate=1e-2, weight_decay=1e-2)


def train(optimizer: torch.optim.Optimizer, named: Mapping[str, nn.Parameter], *steps: int) -> None:
    for step in steps:
        generator = torch.Generator().manual_seed(step)
        for parameter in named.values():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.grad = parameter.detach() + noise
        optimizer.step()


def as_saved(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return load(save({name: tensor.clone().contiguous() for name, tensor in tensors.items()}))


@pytest.mark.parametrize("name", NAMES)
def test_a_restored_optimizer_takes_the_same_steps(name: OptimizerName) -> None:
    config = OptimizerConfig(name=name)
    whole, stopped, resumed = named_parameters(), named_parameters(), named_parameters()
    train(optimizer_of(whole, config), whole, *range(8))
    first = optimizer_of(stopped, config)
    train(first, stopped, *range(3))
    tensors = as_saved(state_tensors(first, stopped))
    numbers = json.loads(json.dumps(state_numbers(first, config, stopped)))
    with torch.no_grad():
        for key, parameter in resumed.items():
            parameter.copy_(stopped[key])
    second = optimizer_of(resumed, config)
    restore_state(second, resumed, tensors=tensors, numbers=numbers)
    train(second, resumed, *range(3, 8))
    for key, parameter in whole.items():
        assert torch.equal(parameter, resumed[key])


@bnb
def test_eight_bits_are_saved_as_eight_bits() -> None:
    named, config = named_parameters(), OptimizerConfig(name="adamw-8bit")
    optimizer = optimizer_of(named, config)
    train(optimizer, named, 0)
    restored = optimizer_of(named, config)
    tensors = as_saved(state_tensors(optimizer, named))
    restore_state(restored, named, tensors=tensors, numbers=state_numbers(optimizer, config, named))
    for kept in (tensors, state_tensors(restored, named)):
        assert kept["state1.hcp.mid.phi.0.weight"].dtype == torch.uint8
        assert kept["state1.hcp.mid.gate"].dtype == torch.float32


@pytest.mark.parametrize("name", NAMES)
def test_it_goes_down(name: OptimizerName) -> None:
    named = {"weight": nn.Parameter(torch.ones(64, 64))}
    optimizer = optimizer_of(named, OptimizerConfig(name=name))
    for _ in range(200):
        named["weight"].grad = named["weight"].detach().clone()
        optimizer.step()
    with weights_for_use(optimizer, list(named.values())):
        assert named["weight"].abs().mean() < 0.5


def test_schedule_free_weights_for_use_are_its_average_and_looking_changes_nothing() -> None:
    config = OptimizerConfig(name="schedule-free")
    looked, blind = named_parameters(), named_parameters()
    first, second = optimizer_of(looked, config), optimizer_of(blind, config)
    for step in range(4):
        train(first, looked, step)
        train(second, blind, step)
        before = [parameter.detach().clone() for parameter in looked.values()]
        with weights_for_use(first, list(looked.values())):
            for parameter, raw in zip(looked.values(), before, strict=True):
                z = first.state[parameter]["z"]
                average = (raw - 0.1 * z) / 0.9  # y = (1 - beta1) z + beta1 x
                torch.testing.assert_close(parameter.detach(), average)
    assert all(torch.equal(looked[name], blind[name]) for name in looked)


def test_adamw_has_nothing_else_to_use() -> None:
    named = named_parameters()
    optimizer = optimizer_of(named, OptimizerConfig())
    train(optimizer, named, 0)
    before = [parameter.detach().clone() for parameter in named.values()]
    with weights_for_use(optimizer, list(named.values())):
        assert all(torch.equal(a, b) for a, b in zip(named.values(), before, strict=True))


def test_the_default_is_torchs_adamw_with_its_own_defaults() -> None:
    ours, theirs = named_parameters(), named_parameters()
    train(optimizer_of(ours, OptimizerConfig()), ours, *range(3))
    train(torch.optim.AdamW(theirs.values(), lr=1e-2, weight_decay=1e-2), theirs, *range(3))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_the_state_of_another_optimizer_is_refused() -> None:
    old: dict[str, object] = {}  # of a checkpoint before there was a choice
    check_same_optimizer(old, OptimizerConfig(), "here")
    with pytest.raises(CheckpointError, match="'adamw', this run has 'schedule-free'"):
        check_same_optimizer(old, OptimizerConfig(name="schedule-free"), "here")
    with pytest.raises(CheckpointError, match=r"optimizer\.name=adamw-8bit"):
        check_same_optimizer({"name": "adamw-8bit"}, OptimizerConfig(), "here")


@pytest.mark.parametrize(
    ("name", "library"), [("adamw-8bit", "bitsandbytes"), ("schedule-free", "schedulefree")]
)
def test_a_missing_library_says_what_to_install(
    name: OptimizerName, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for loaded in [key for key in sys.modules if key.split(".")[0] == library]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'hcp\["):
        optimizer_of(named_parameters(), OptimizerConfig(name=name))


@bnb
def test_eight_bits_where_the_library_cannot_are_refused_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_kernel(self: object) -> None:
        raise NotImplementedError("no kernel for this backend")

    monkeypatch.setattr("bitsandbytes.optim.AdamW8bit.step", no_kernel)
    with pytest.raises(ValueError, match=r"cannot update on cpu .*no kernel"):
        optimizer_of(named_parameters(), OptimizerConfig(name="adamw-8bit"))


def rates(config: OptimizerConfig, *, warmup: int, steps: int) -> list[float]:
    return [config.rate_factor(i, warmup_steps=warmup, steps=steps) for i in range(steps)]


def test_constant_after_a_linear_warm_up_that_never_is_zero() -> None:
    assert rates(OptimizerConfig(), warmup=4, steps=6) == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    assert rates(OptimizerConfig(), warmup=0, steps=2) == [1.0, 1.0]


@pytest.mark.parametrize(
    ("config", "theirs"),
    [
        (OptimizerConfig(schedule="cosine"), get_cosine_schedule_with_warmup),
        (OptimizerConfig(schedule="linear"), get_linear_schedule_with_warmup),
    ],
)
def test_decays_are_those_of_diffusers(config: OptimizerConfig, theirs) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = theirs(optimizer, 5, 40)
    for step, ours in enumerate(rates(config, warmup=5, steps=40)):
        if step >= 5:
            assert ours == pytest.approx(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_a_decay_ends_at_its_final_fraction_and_stays_there(schedule) -> None:
    config = OptimizerConfig(schedule=schedule, final_fraction=0.1, decay_steps=20)
    found = rates(config, warmup=4, steps=40)
    assert found[3] == found[4] == 1.0
    assert all(a > b for a, b in pairwise(found[4:21]))
    assert found[20:] == pytest.approx([0.1] * 20)
    assert rates(config, warmup=4, steps=25) == found[:25]  # the run's length plays no part


def test_a_warm_up_longer_than_the_run_is_no_decay() -> None:
    found = rates(OptimizerConfig(schedule="cosine"), warmup=10, steps=5)
    assert found == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])


def test_a_decay_may_take_the_last_steps_alone() -> None:
    config = OptimizerConfig(schedule="linear", decay_share=0.4)
    found = rates(config, warmup=20, steps=120)
    assert found[19:80] == [1.0] * 61
    assert found[80:120] == pytest.approx([1 - i / 40 for i in range(40)])


@pytest.mark.parametrize(
    "wrong",
    [
        {"betas": (1.0, 0.9)},
        {"eps": 0.0},
        {"final_fraction": 1.5},
        {"decay_steps": 0},
        {"decay_share": 0.0},
        {"decay_share": 1.5},
        {"name": "schedule-free", "schedule": "cosine"},
        {"name": "schedule-free", "betas": (0.0, 0.99)},
    ],
)
def test_settings_that_cannot_be_are_refused(wrong) -> None:
    with pytest.raises(ValueError, match="OptimizerConfig"):
        OptimizerConfig(**wrong)


@pytest.mark.parametrize(
    ("name", "schedule"),
    [
        ("adamw", "cosine"),
        pytest.param("adamw-8bit", "linear", marks=bnb),
        ("schedule-free", "constant"),
    ],
)
def test_a_resumed_training_takes_the_same_steps(
    name: OptimizerName, schedule: Schedule, make_pipeline: MakePipeline, tmp_path: Path
) -> None:
    config = replace(CONFIG, optimizer=OptimizerConfig(name=name, schedule=schedule))
    whole = run(Trainer(make_pipeline(0), config), 6)
    first = Trainer(make_pipeline(0), config)
    head = run(first, 3)
    save_checkpoint(tmp_path, first)
    assert head + run(first, 6) == whole  # saving changed nothing
    second = Trainer(make_pipeline(0), config)
    load_checkpoint(tmp_path, second)
    assert head + run(second, 6) == whole


def test_schedule_free_saves_its_average_and_keeps_no_other(
    make_pipeline: MakePipeline, tmp_path: Path
) -> None:
    config = replace(CONFIG, optimizer=OptimizerConfig(name="schedule-free"))
    trainer = Trainer(make_pipeline(0), config)
    assert trainer.ema is None
    run(trainer, 3)
    save_checkpoint(tmp_path, trainer)
    saved = HcpAdapter.from_pretrained(tmp_path)
    with weights_for_use(trainer.optimizer, trainer.parameters):
        for ours, theirs in zip(saved.parameters(), trainer.parameters, strict=True):
            assert torch.equal(ours, theirs)
    assert not all(map(torch.equal, saved.parameters(), trainer.parameters))


def test_another_optimizers_checkpoint_is_refused_before_the_first_step(
    make_pipeline: MakePipeline, tmp_path: Path
) -> None:
    trainer = Trainer(make_pipeline(0), CONFIG)
    run(trainer, 1)
    save_checkpoint(tmp_path, trainer)
    config = replace(CONFIG, ema_decay=None, optimizer=OptimizerConfig(name="schedule-free"))
    with pytest.raises(CheckpointError, match=r"'adamw', this run has 'schedule-free'"):
        load_checkpoint(tmp_path, Trainer(make_pipeline(0), config))


@pytest.mark.parametrize(("decay_steps", "told"), [(None, True), (6, False)])
def test_another_length_of_a_decaying_run_is_told(
    decay_steps: int | None,
    told: bool,
    make_pipeline: MakePipeline,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    optimizer = OptimizerConfig(schedule="cosine", decay_steps=decay_steps)
    config = replace(CONFIG, optimizer=optimizer)
    trainer = Trainer(make_pipeline(0), config)
    run(trainer, 4)
    save_checkpoint(tmp_path, trainer)
    longer = Trainer(make_pipeline(0), replace(config, steps=12))
    load_checkpoint(tmp_path, longer)
    assert ("decays over 12 steps now, over 6 before" in caplog.text) is told
