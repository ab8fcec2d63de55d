"""Checkpoints of a training run: the files for use, the trainer's state for an exact resume.

The method's files for use hold the moving average where there is one; ``trainer_state/`` holds the
raw weights, the optimizer's and the average's tensors, and the loader's position. COMPLETE.json
covers all of them. No pickles.
"""

import json
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from hcp.training.batches import LoaderState
from hcp.training.methods.protocol import Facts
from hcp.training.trainer import Trainer
from storage.checkpoints import COMPLETE_NAME, listed_files, mark_complete, verify_checkpoint
from storage.errors import CheckpointError
from storage.locations import join, normalised, read_bytes, remove, write_atomic

STATE_DIR = "trainer_state"
_TENSORS, _JSON = "state.safetensors", "state.json"
STATE_TENSORS = f"{STATE_DIR}/{_TENSORS}"
STATE_JSON = f"{STATE_DIR}/{_JSON}"
FORMAT = 1


def save_checkpoint(uri: str | Path, trainer: Trainer) -> None:
    """Write a complete checkpoint into a directory or object prefix, replacing what is there."""
    uri = normalised(uri)
    remove(join(uri, COMPLETE_NAME))
    write_atomic(join(uri, STATE_DIR, _TENSORS), save(_tensors(trainer)))
    state = json.dumps(_state(trainer), indent=1, sort_keys=True)
    write_atomic(join(uri, STATE_DIR, _JSON), state.encode())
    facts = Facts(step=trainer.step_done, dataset_version=trainer.dataset_version)
    with averaged(trainer):
        names = trainer.method.save(uri, facts)
    mark_complete(uri, (*names, STATE_TENSORS, STATE_JSON))


@contextmanager
def averaged(trainer: Trainer) -> Generator[None]:
    """What trains with its moving average inside, where there is one."""
    if trainer.ema is None:
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
            with other settings of it, another batch size or another number of workers.
    """
    uri = normalised(uri)
    verify_checkpoint(uri)
    if not {STATE_JSON, STATE_TENSORS} <= set(listed_files(uri)):
        raise CheckpointError(f"checkpoint {uri} is for use only: it holds no {STATE_DIR}/")
    state = json.loads(read_bytes(join(uri, STATE_JSON)))
    if state["format"] != FORMAT:
        raise CheckpointError(
            f"checkpoint {uri}: trainer state of format {state['format']}, expected {FORMAT}"
        )
    method = state.get("method", "hcp")  # the only one before methods had names
    if method != trainer.method.name:
        raise CheckpointError(
            f"checkpoint {uri} was trained by the method {method!r}, this run is "
            f"{trainer.method.name!r}: the optimizer's state would not fit"
        )
    trainer.method.check(uri)
    expected = _layout(trainer)
    if state["layout"] != expected:
        raise CheckpointError(
            f"checkpoint {uri} was trained with {state['layout']}, this run has {expected}: its "
            "place in the data and its state would not fit"
        )
    _restore(trainer, state, load(read_bytes(join(uri, STATE_TENSORS))))


def _layout(trainer: Trainer) -> dict[str, object]:
    config = trainer.config
    return {
        "batch_size": config.batch_size,
        "accumulate": config.accumulate,
        "aspects": list(config.data.aspects),
        "world_size": trainer.world_size,
        "seed": config.seed,
        "ema": config.ema_decay is not None,
    }


def _state(trainer: Trainer) -> dict[str, object]:
    return {
        "format": FORMAT,
        "method": trainer.method.name,
        "step": trainer.step_done,
        "loader": asdict(trainer.loader),
        "ema_steps": 0 if trainer.ema is None else trainer.ema.optimization_step,
        "layout": _layout(trainer),
    }


def _tensors(trainer: Trainer) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for i, (name, parameter) in enumerate(trainer.method.named_parameters()):
        tensors[f"raw.{name}"] = parameter.detach()
        if trainer.ema is not None:
            tensors[f"ema.{name}"] = trainer.ema.shadow_params[i]
        state: dict[str, Tensor] = trainer.optimizer.state[parameter]
        tensors |= {f"optimizer.{key}.{name}": value for key, value in state.items()}
    return {name: tensor.cpu().clone().contiguous() for name, tensor in tensors.items()}


def _restore(trainer: Trainer, state: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    moments: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("optimizer."):
            _, kind, name = key.split(".", 2)
            moments.setdefault(name, {})[kind] = value
    optimizer_state: dict[int, dict[str, Tensor]] = {}
    with torch.no_grad():
        for i, (name, parameter) in enumerate(trainer.method.named_parameters()):
            parameter.copy_(tensors[f"raw.{name}"])
            if trainer.ema is not None:
                trainer.ema.shadow_params[i].copy_(tensors[f"ema.{name}"])
            optimizer_state[i] = moments.get(name, {})
    groups = trainer.optimizer.state_dict()["param_groups"]
    trainer.optimizer.load_state_dict({"state": optimizer_state, "param_groups": groups})
    if trainer.ema is not None:
        trainer.ema.optimization_step = int(state["ema_steps"])
    trainer.step_done = int(state["step"])
    trainer.loader = LoaderState(**state["loader"])
