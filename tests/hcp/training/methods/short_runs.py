"""Trainings of a step or two by any method, and what is drawn after them."""

import dataclasses
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline

from hcp import HcpConfig
from hcp.training.config import DataConfig, LoraConfig, TrainConfig
from hcp.training.methods.names import METHODS
from hcp.training.trainer import Trainer
from tests.hcp.samples import make_sample
from tests.hcp.training import tiny_runs

VARIED = ("hcp+value+gate", "attention+full", "region+full")
EVERY = (*METHODS, *(pytest.param(name, marks=pytest.mark.slow) for name in VARIED))
OTHERS = ("lora", "attention", "region", "full")

CONFIG = TrainConfig(
    batch_size=2,
    learning_rate=1e-2,
    warmup_steps=1,
    ema_decay=0.5,
    data=DataConfig(resolution_px=32, caption_dropout=0.0, decode_threads=1),
    hcp=HcpConfig(width=16),
    lora=LoraConfig(rank=2, alpha=4.0),
)
SAMPLES = [make_sample(i, caption=c) for i, c in enumerate(("a woman doing yoga", "two people"))]
MakePipeline = Callable[[int], StableDiffusionPipeline]
stream, run = (partial(each, samples=SAMPLES) for each in (tiny_runs.batches, tiny_runs.run))


def trainer_of(pipeline: StableDiffusionPipeline, method: str, **changes: object) -> Trainer:
    config = dataclasses.replace(CONFIG, method=method, **changes)
    return Trainer(pipeline, config, base_model="tiny", dataset_version="v1", teachers=("d1",))


def state_of(pipeline: StableDiffusionPipeline, *parts: str) -> dict[str, torch.Tensor]:
    return {
        f"{part}.{name}": tensor.clone()
        for part in parts
        for name, tensor in getattr(pipeline, part).state_dict().items()
    }


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def draw(pipeline: StableDiffusionPipeline, prompt: str = "a woman doing yoga") -> np.ndarray:
    generator = torch.Generator().manual_seed(5)
    return pipeline(prompt, num_inference_steps=2, generator=generator, output_type="np").images
