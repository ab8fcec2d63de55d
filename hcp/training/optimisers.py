"""The optimizer of a training, its learning rate, and what of its state a checkpoint holds.

AdamW is torch's. ``adamw-8bit`` keeps both moments in 8 bits (Dettmers et al. 2022; bitsandbytes).
``schedule-free`` is Schedule-Free AdamW (Defazio et al. 2024; schedulefree): it needs no decay of
the rate, because the weights for use are an average that it keeps itself.
"""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import cos, pi
from typing import TYPE_CHECKING, Any, Literal

from storage.errors import CheckpointError
from storage.extras import explained_imports

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

OptimizerName = Literal["adamw", "adamw-8bit", "schedule-free"]
Schedule = Literal["constant", "cosine", "linear"]

_PROBE_SIZE = 4096  # elements; bitsandbytes keeps smaller parameters' moments in 32 bits
# What an optimizer counts in its groups, beside the settings.
_COUNTERS: dict[OptimizerName, tuple[str, ...]] = {
    "adamw": (),
    "adamw-8bit": (),
    "schedule-free": ("k", "weight_sum", "lr_max"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizerConfig:
    """Which optimizer, and how the learning rate goes on after the warm-up."""

    name: OptimizerName = "adamw"  # adamw-8bit needs hcp[bnb], schedule-free hcp[schedule-free]
    betas: tuple[float, float] = (0.9, 0.999)  # shares of the old in the two moving averages
    eps: float = 1e-8  # added to the divisor
    schedule: Schedule = "constant"  # after the warm-up: constant, or down to `final_fraction`
    final_fraction: float = 0.0  # of the learning rate, at the end of cosine and linear
    decay_steps: int | None = None  # step at which they end; None: the training's `steps`
    decay_share: float = 1.0  # of the steps after the warm-up that they take, the last ones

    def __post_init__(self) -> None:
        if any(not 0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"OptimizerConfig.betas must be in [0, 1), got {self.betas}")
        if self.eps <= 0:
            raise ValueError(f"OptimizerConfig.eps must be > 0, got {self.eps}")
        if not 0 <= self.final_fraction <= 1:
            raise ValueError(
                f"OptimizerConfig.final_fraction must be in [0, 1], got {self.final_fraction}"
            )
        if self.decay_steps is not None and self.decay_steps < 1:
            raise ValueError(f"OptimizerConfig.decay_steps must be >= 1, got {self.decay_steps}")
        if not 0 < self.decay_share <= 1:
            raise ValueError(
                f"OptimizerConfig.decay_share must be in (0, 1], got {self.decay_share}"
            )
        if self.name == "schedule-free" and self.schedule != "constant":
            raise ValueError(
                "OptimizerConfig: schedule-free replaces the decay of the learning rate; "
                f"expected schedule 'constant', got {self.schedule!r}"
            )
        if self.name == "schedule-free" and self.betas[0] == 0:
            raise ValueError("OptimizerConfig: schedule-free needs betas[0] > 0, got 0")

    @property
    def averages(self) -> bool:
        """Whether it keeps an average of the weights itself, so that a second one is in vain."""
        return self.name == "schedule-free"

    def rate_factor(self, step_done: int, *, warmup_steps: int, steps: int) -> float:
        """What the learning rate is multiplied by in the step after ``step_done`` others.

        A function of these numbers alone, so that a resumed run has the same rates. Linear warm-up,
        never 0; then constant, or down to ``final_fraction`` as in diffusers' schedules, which is
        kept afterwards. A ``decay_share`` below 1 keeps the full rate until the decay begins.
        """
        warm_up = min(1.0, (step_done + 1) / max(warmup_steps, 1))
        if self.schedule == "constant" or step_done < warmup_steps:
            return warm_up
        end = self.decay_steps or steps
        length = (end - warmup_steps) * self.decay_share
        done = step_done - (end - length)
        progress = min(1.0, max(0.0, done / length)) if length > 0 else 1.0
        left = (1 + cos(pi * progress)) / 2 if self.schedule == "cosine" else 1 - progress
        return self.final_fraction + (1 - self.final_fraction) * left


def make_optimizer(
    parameters: Sequence["nn.Parameter"],
    config: OptimizerConfig,
    *,
    learning_rate: float,
    weight_decay: float,
) -> "torch.optim.Optimizer":
    """The optimizer of these parameters, on their device, ready to train.

    Raises:
        MissingExtraError: its library is not installed.
        ValueError: it cannot update on this device.
    """
    settings: dict[str, Any] = {
        "lr": learning_rate,
        "betas": config.betas,
        "eps": config.eps,
        "weight_decay": weight_decay,
    }
    if config.name == "adamw-8bit":
        return _eight_bit(parameters, settings)
    if config.name == "schedule-free":
        with explained_imports():
            from schedulefree import AdamWScheduleFree
        optimizer: Any = AdamWScheduleFree(parameters, **settings)
        optimizer.train()
        return optimizer
    import torch

    return torch.optim.AdamW(parameters, **settings)


def _eight_bit(parameters: Sequence["nn.Parameter"], settings: dict[str, Any]) -> Any:
    import torch

    with explained_imports():
        from bitsandbytes.optim import AdamW8bit  # pyright: ignore[reportMissingImports]
    probe = torch.nn.Parameter(torch.zeros(_PROBE_SIZE, device=parameters[0].device))
    probe.grad = torch.zeros_like(probe)
    try:
        AdamW8bit([probe], **settings).step()
    except (RuntimeError, NotImplementedError, AttributeError, OSError) as error:
        raise ValueError(
            f"optimizer adamw-8bit: bitsandbytes cannot update on {probe.device} "
            f"({type(error).__name__}: {str(error)[:200]}); training.optimizer.name=adamw can"
        ) from error
    return AdamW8bit(parameters, **settings)


@contextmanager
def weights_for_use(
    optimizer: "torch.optim.Optimizer", parameters: Sequence["nn.Parameter"]
) -> Generator[None]:
    """The weights that are meant for use inside; afterwards the ones in training, bit for bit.

    They differ for Schedule-Free alone. Its own way back rounds, which would make a run depend on
    how often it is looked at.
    """
    switch: Any = optimizer
    if not hasattr(switch, "eval"):
        yield
        return
    import torch

    kept = [parameter.detach().clone() for parameter in parameters]
    switch.eval()
    try:
        yield
    finally:
        switch.train()
        with torch.no_grad():
            for parameter, value in zip(parameters, kept, strict=True):
                parameter.copy_(value)


Named = Mapping[str, "nn.Parameter"]
"""Parameters by name, in the order in which the optimizer was given them."""


def state_tensors(optimizer: "torch.optim.Optimizer", named: Named) -> dict[str, "Tensor"]:
    """The tensors of the optimizer's state as ``<key>.<parameter>``."""
    import torch

    return {
        f"{key}.{name}": value
        for name, parameter in named.items()
        for key, value in optimizer.state[parameter].items()
        if isinstance(value, torch.Tensor)
    }


def state_numbers(
    optimizer: "torch.optim.Optimizer", config: OptimizerConfig, named: Named
) -> dict[str, Any]:
    """The rest of its state, JSON-able: its name, its counters, numbers of each parameter."""
    import torch

    numbers = {
        name: {k: v for k, v in optimizer.state[parameter].items() if not torch.is_tensor(v)}
        for name, parameter in named.items()
    }
    return {
        "name": config.name,
        "counters": {key: optimizer.param_groups[0][key] for key in _COUNTERS[config.name]},
        "parameters": {name: own for name, own in numbers.items() if own},
    }


def check_same_optimizer(numbers: Mapping[str, Any], config: OptimizerConfig, where: str) -> None:
    """Refuse the state of another optimizer; what has no name is of AdamW's time.

    Raises:
        CheckpointError: it is one; ``where`` names the checkpoint.
    """
    found = numbers.get("name", "adamw")
    if found != config.name:
        raise CheckpointError(
            f"checkpoint {where} holds the state of the optimizer {found!r}, this run has "
            f"{config.name!r}: set training.optimizer.name={found}, or start a new run"
        )


def restore_state(
    optimizer: "torch.optim.Optimizer",
    named: Named,
    *,
    tensors: Mapping[str, "Tensor"],
    numbers: Mapping[str, Any],
) -> None:
    """Put back what ``state_tensors`` and ``state_numbers`` gave; settings stay this run's own."""
    kept: dict[str, dict[str, Any]] = {
        name: dict(numbers.get("parameters", {}).get(name, {})) for name in named
    }
    for full_name, tensor in tensors.items():
        key, name = full_name.split(".", 1)
        kept[name][key] = tensor
    groups = optimizer.state_dict()["param_groups"]
    for group in groups:
        group.update(numbers.get("counters", {}))
    optimizer.load_state_dict({"state": dict(enumerate(kept.values())), "param_groups": groups})
