"""LoRA in a U-Net's attentions: put in by peft, saved as diffusers' pipelines load it.

Hu et al. 2021, LoRA: ``W x + (alpha / rank) B A x`` with W frozen, A random and B from zero.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from hcp.sites import plain
from hcp.training.methods.names import LoraConfig
from storage.errors import CheckpointError
from storage.extras import explained_imports

LORA_FILE = "pytorch_lora_weights.safetensors"  # the name that load_lora_weights looks for
_ADAPTER = "trained"  # peft's name of it


class LoraWeights:
    """New LoRA matrices in a frozen U-Net, until ``remove``; the first step starts at the base."""

    names: tuple[str, ...] = (LORA_FILE,)

    def __init__(self, unet: nn.Module, config: LoraConfig) -> None:
        """Put them in, in float32 whatever the base is in.

        Raises:
            MissingExtraError: peft is not installed.
            ValueError: the U-Net has no layer that a target names.
        """
        with explained_imports():
            import peft
        self._unet: Any = plain(unet)
        self._scale = config.scale
        layers = peft.LoraConfig(
            r=config.rank,
            lora_alpha=config.rank * config.scale,  # pyright: ignore[reportArgumentType] - a float works
            target_modules=list(config.targets),
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.init_seed)
            self._unet.add_adapter(layers, adapter_name=_ADAPTER)
        for _, parameter in self.named_parameters():
            parameter.data = parameter.data.float()

    def named_parameters(self) -> Sequence[tuple[str, nn.Parameter]]:
        """A and B of each layer, ``<layer>.lora_A.weight``."""
        return [
            (name.replace(f".{_ADAPTER}.", "."), parameter)
            for name, parameter in self._unet.named_parameters()
            if parameter.requires_grad
        ]

    def files(self) -> dict[str, bytes]:
        """The file that ``pipeline.load_lora_weights`` reads, alpha / rank multiplied into B."""
        tensors = {
            f"unet.{name}": parameter.detach() * (self._scale if ".lora_B." in name else 1.0)
            for name, parameter in self.named_parameters()
        }
        return {LORA_FILE: save({n: t.cpu().contiguous() for n, t in tensors.items()})}

    def load(self, files: Mapping[str, bytes]) -> None:
        """Take the weights of such a file.

        Raises:
            CheckpointError: they are not of these layers.
        """
        tensors = load(files[LORA_FILE])
        copy_named(self.named_parameters(), {
            name.removeprefix("unet."): tensor / (self._scale if ".lora_B." in name else 1.0)
            for name, tensor in tensors.items()
        })  # fmt: skip

    def remove(self) -> None:
        """Give the U-Net its own layers back."""
        remove_lora(self._unet, _ADAPTER)


def remove_lora(unet: Any, adapter: str) -> None:
    """Take one of peft's adapters out; with the last one the layers are the U-Net's own again."""
    unet.delete_adapters(adapter)
    if not getattr(unet, "peft_config", None):
        unet.unload_lora()


@torch.no_grad()
def copy_named(
    parameters: Sequence[tuple[str, nn.Parameter]], tensors: Mapping[str, Tensor]
) -> None:
    """Copy tensors into the parameters of the same names.

    Raises:
        CheckpointError: names or shapes differ; nothing is changed then.
    """
    here = {name: tuple(parameter.shape) for name, parameter in parameters}
    there = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    wrong = sorted(name for name in here.keys() | there.keys() if here.get(name) != there.get(name))
    if wrong:
        raise CheckpointError(
            f"the weights are of another layout: {len(wrong)} of {len(here)} differ, first "
            f"{wrong[0]}: expected {here.get(wrong[0])}, got {there.get(wrong[0])}"
        )
    for name, parameter in parameters:
        parameter.copy_(tensors[name])
