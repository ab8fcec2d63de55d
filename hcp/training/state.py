"""Checkpoints of a training run: the files for use, the trainer's state for an exact resume.

The method's files for use hold the moving average where there is one; ``trainer_state/`` holds the
raw weights, the optimizer's and the average's tensors, and the loader's position. COMPLETE.json
covers all of them. No pickles.

A run may go on with another number of workers. Where that number divides the batches of a step,
each worker accumulates so many that the steps stay the same; else their size changes.
"""

import json
import logging
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from hcp.training.batches import LoaderState
from hcp.training.config import TrainConfig
from hcp.training.methods.protocol import Facts
from hcp.training.metrics import from_json, to_json
from hcp.training.optimisers import (
    check_same_optimizer,
    restore_state,
    state_numbers,
    state_tensors,
    weights_for_use,
)
from hcp.training.run_folder import STATE_DIR
from hcp.training.trainer import Trainer
from storage.checkpoints import COMPLETE_NAME, listed_files, mark_complete, verify_checkpoint
from storage.errors import CheckpointError
from storage.locations import join, normalised, read_bytes, remove, write_atomic

logger = logging.getLogger(__name__)

_TENSORS, _JSON = "state.safetensors", "state.json"
STATE_TENSORS = f"{STATE_DIR}/{_TENSORS}"
STATE_JSON = f"{STATE_DIR}/{_JSON}"
FORMAT = 2


def save_checkpoint(
    uri: str | Path, trainer: Trainer, *, validation_loss: float | None = None
) -> None:
    """Write a complete checkpoint into a directory or object prefix, replacing what is there."""
    uri = normalised(uri)
    remove(join(uri, COMPLETE_NAME))
    write_atomic(join(uri, STATE_DIR, _TENSORS), save(_tensors(trainer)))
    state = _state(trainer) | {"validation_loss": validation_loss}
    data = json.dumps(state, indent=1, sort_keys=True).encode()
    write_atomic(join(uri, STATE_DIR, _JSON), data)
    facts = Facts(
        step=trainer.step_done,
        dataset_version=trainer.dataset_version,
        teachers=trainer.teachers,
    )
    with averaged(trainer):
        names = trainer.method.save(uri, facts)
    mark_complete(uri, (*names, STATE_TENSORS, STATE_JSON))


@contextmanager
def averaged(trainer: Trainer) -> Generator[None]:
    """What trains with its average inside: the optimizer's own, the moving one, or none."""
    if trainer.ema is None:
        with weights_for_use(trainer.optimizer, trainer.parameters):
            yield
        return
    trainer.ema.store(trainer.parameters)
    trainer.ema.copy_to(trainer.parameters)
    try:
        yield
    finally:
        trainer.ema.restore(trainer.parameters)


def load_checkpoint(uri: str | Path, trainer: Trainer) -> None:
    """Continue from a checkpoint of the same settings; every digest is checked first.

    Raises:
        CheckpointError: incomplete or changed, no trainer state in it, or made by another method,
            with other settings of it or another batch size.
    """
    uri = normalised(uri)
    verify_checkpoint(uri)
    if not {STATE_JSON, STATE_TENSORS} <= set(listed_files(uri)):
        raise CheckpointError(f"checkpoint {uri} is for use only: it holds no {STATE_DIR}/")
    state = json.loads(read_bytes(join(uri, STATE_JSON)))
    if state["format"] not in (1, FORMAT):
        raise CheckpointError(
            f"checkpoint {uri}: trainer state of format {state['format']}, expected {FORMAT} or 1"
        )
    method = state.get("method", "hcp")  # the only one before methods had names
    if method != trainer.method.name:
        raise CheckpointError(
            f"checkpoint {uri} was trained by the method {method!r}, this run is "
            f"{trainer.method.name!r}: the optimizer's state would not fit"
        )
    trainer.method.check(uri)
    check_same_optimizer(state.get("optimizer", {}), trainer.config.optimizer, uri)
    _tell_other_rates(state, trainer)
    saved, expected = dict(state["layout"]), _layout(trainer)
    workers = saved.pop("world_size", 1)  # format 1
    accumulate = saved.pop("accumulate", 1)
    per_step = saved.pop("batches_per_step", workers * accumulate)
    if saved != expected:
        raise CheckpointError(
            f"checkpoint {uri} was trained with {saved}, this run has {expected}: its "
            "place in the data and its state would not fit"
        )
    trainer.config = _same_steps(trainer, per_step)
    _restore(trainer, state, load(read_bytes(join(uri, STATE_TENSORS))))


def _same_steps(trainer: Trainer, per_step: int) -> TrainConfig:
    """The settings with which a step has as many samples as before, on this number of workers."""
    config, n = trainer.config, trainer.world_size
    if config.accumulate * n == per_step:
        return config
    if per_step % n:
        logger.warning(
            "a step had %d batches and has %d now, on %d workers: the run goes on at its place in "
            "the data, but its losses are not those it would have had",
            per_step, config.accumulate * n, n,
        )  # fmt: skip
        return config
    logger.info("%d workers, so each accumulates %d batches a step", n, per_step // n)
    return replace(config, accumulate=per_step // n)


def _layout(trainer: Trainer) -> dict[str, object]:
    config = trainer.config
    return {
        "batch_size": config.batch_size,
        "aspects": list(config.data.aspects),
        "seed": config.seed,
        "ema": config.ema_decay is not None,
    }


def _state(trainer: Trainer) -> dict[str, object]:
    per_step = trainer.config.accumulate * trainer.world_size
    return {
        "format": FORMAT,
        "method": trainer.method.name,
        "step": trainer.step_done,
        "loader": asdict(trainer.loader),
        "ema_steps": 0 if trainer.ema is None else trainer.ema.optimization_step,
        "layout": _layout(trainer) | {"batches_per_step": per_step},
        "agreement": trainer.agreement.state(),
        "recent": [to_json(metrics) for metrics in trainer.recent],
        "steps": trainer.config.steps,
        "optimizer": state_numbers(
            trainer.optimizer, trainer.config.optimizer, dict(trainer.method.named_parameters())
        ),
        "scaler": trainer.scaler.state_dict(),
    }


def _tell_other_rates(state: dict[str, Any], trainer: Trainer) -> None:
    # The rate is a function of the step and the settings: of a decay over all steps, their number.
    config, step = trainer.config, int(state["step"])
    before = replace(config, steps=int(state.get("steps", config.steps)))
    was, now = before.rate(step), config.rate(step)
    if was != now:
        logger.warning(
            "the learning rate decays over %d steps now, over %d before: after step %d it is %g "
            "instead of %g (training.optimizer.decay_steps keeps it)",
            config.steps, before.steps, step, now, was,
        )  # fmt: skip


def _loader(state: dict[str, Any]) -> LoaderState:
    if state["format"] != 1:
        return LoaderState(**state["loader"])
    layout = state["layout"]
    return LoaderState.from_format_1(
        state["loader"], world_size=layout["world_size"], batch_size=layout["batch_size"]
    )


def _tensors(trainer: Trainer) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    named = dict(trainer.method.named_parameters())
    for i, (name, parameter) in enumerate(named.items()):
        tensors[f"raw.{name}"] = parameter.detach()
        if trainer.ema is not None:
            tensors[f"ema.{name}"] = trainer.ema.shadow_params[i]
    for name, tensor in state_tensors(trainer.optimizer, named).items():
        tensors[f"optimizer.{name}"] = tensor
    return {name: tensor.cpu().clone().contiguous() for name, tensor in tensors.items()}


def _restore(trainer: Trainer, state: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    named = dict(trainer.method.named_parameters())
    with torch.no_grad():
        for i, (name, parameter) in enumerate(named.items()):
            parameter.copy_(tensors[f"raw.{name}"])
            if trainer.ema is not None:
                trainer.ema.shadow_params[i].copy_(tensors[f"ema.{name}"])
    of_optimizer = {
        name.removeprefix("optimizer."): tensor
        for name, tensor in tensors.items()
        if name.startswith("optimizer.")
    }
    numbers = state.get("optimizer", {})
    restore_state(trainer.optimizer, named, tensors=of_optimizer, numbers=numbers)
    if scale := state.get("scaler"):
        trainer.scaler.load_state_dict(scale)
    if trainer.ema is not None:
        trainer.ema.optimization_step = int(state["ema_steps"])
    trainer.step_done = int(state["step"])
    trainer.loader = _loader(state)
    trainer.agreement.restore(state.get("agreement", {}))
    trainer.recent.extend(map(from_json, state.get("recent", [])))
