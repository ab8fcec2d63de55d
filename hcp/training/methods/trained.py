"""What a training made, whatever its method, as one kind of object: load, attach, draw, detach."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any, Protocol, Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from hcp.adapter import HcpAdapter, WithStrength
from hcp.checkpoint import METHOD_CARD
from hcp.sites import check_base, plain
from hcp.training.methods.cards import MethodCard, read_card
from hcp.training.methods.lora import LORA_FILE, remove_lora
from hcp.training.methods.unet_method import EVERYWHERE
from hcp.training.methods.unet_weights import UNET_FILE
from storage.checkpoints import listed_files, read_listed
from storage.errors import CheckpointError
from storage.extras import explained_imports
from storage.registry import checkpoint_place


class TrainedCard(Protocol):
    """What every card says."""

    @property
    def method(self) -> str:
        """As ``TrainConfig.method`` has it."""
        ...

    @property
    def base_model(self) -> str | None:
        """Id or directory of the base, for people."""
        ...

    @property
    def dataset_version(self) -> str | None:
        """What it was trained on."""
        ...

    @property
    def teachers(self) -> tuple[str, ...]:
        """Digests of the pose models that made its priors; see ``hcp.checkpoint.AdapterCard``."""
        ...

    @property
    def step(self) -> int:
        """Optimizer steps."""
        ...

    @property
    def settings(self) -> Mapping[str, Any]:
        """Of the method, as plain JSON."""
        ...


class Trained(Protocol):
    """A checkpoint for use; ``hcp.HcpAdapter`` is one, with more that is its own."""

    @property
    def strength(self) -> float:
        """How much of the change: 0 gives the base's bits, 1 what was trained; may be set."""
        ...

    @strength.setter
    def strength(self, value: float) -> None: ...

    @property
    def card(self) -> TrainedCard:
        """How it came about."""
        ...

    @property
    def pipeline(self) -> Any | None:
        """The pipeline that it is attached to, if any."""
        ...

    def attach(self, pipeline: Any, *, any_base: bool = False) -> Any:
        """Put it into a diffusers pipeline; the pipeline then works as ever.

        Raises:
            CheckpointError: it was made for another base; ``any_base`` accepts other weights.
            ValueError: attached already.
        """
        ...

    def detach(self) -> None:
        """Give the pipeline its own bits back; nothing happens if not attached."""
        ...

    def at_strength(self, value: float) -> Any:
        """A context in which pictures are drawn at this strength."""
        ...

    def parameter_count(self) -> Mapping[Any, int]:
        """Trained parameters by place."""
        ...


def load_trained(path_or_registry_uri: str | Path, *, tracking_uri: str | None = None) -> Trained:
    """Load a checkpoint of any method.

    Args:
        path_or_registry_uri: a directory or fsspec URL, a pointer such as ``<out>/latest``,
            ``hcp-registry:<name>/<version>`` with a number or ``champion``, or a hub id.
        tracking_uri: of the registry; None: MLFLOW_TRACKING_URI, else ``./hcp-registry.db``.
    Raises:
        CheckpointError: incomplete, changed, or no checkpoint for use.
        RegistryError: the registry does not know it, or it is not what was registered.
    """
    uri = checkpoint_place(path_or_registry_uri, tracking_uri)
    files = listed_files(uri)
    if METHOD_CARD not in files:
        return HcpAdapter.from_pretrained(uri)
    card = read_card(uri)
    for name, kind in ((LORA_FILE, TrainedLora), (UNET_FILE, TrainedUnet)):
        if name in files:
            try:
                return kind(card, load(read_listed(uri, (name,))[name]))
            except SafetensorError as error:
                raise CheckpointError(f"checkpoint {uri}: {name}: {error}") from error
    raise CheckpointError(f"checkpoint {uri}: no weights beside {METHOD_CARD}: {sorted(files)}")


class _Weights(WithStrength, ABC):
    """What LoRA and a whole U-Net have in common: the card, the strength, the pipeline."""

    def __init__(self, card: MethodCard, tensors: Mapping[str, Tensor]) -> None:
        self.card = card
        self._tensors = dict(tensors)
        self._pipeline: Any = None  # that it is attached to
        self._unet: Any = None  # of it

    @property
    def pipeline(self) -> Any | None:
        """The pipeline that it is attached to, if any."""
        return self._pipeline

    def parameter_count(self) -> dict[str, int]:
        """Trained parameters, all in the U-Net."""
        return {"unet": sum(tensor.numel() for tensor in self._tensors.values())}

    def attach(self, pipeline: Any, *, any_base: bool = False) -> Self:
        """Put it into a pipeline's U-Net; see ``Trained``."""
        if self._unet is not None:
            raise ValueError("attached already: detach() it first")
        unet: Any = plain(pipeline.unet)
        fingerprint = {} if any_base else self.card.base_fingerprint
        check_base(unet, EVERYWHERE, self.card.sites, fingerprint)
        self._enter(unet, pipeline)
        self._pipeline, self._unet = pipeline, unet
        self._apply()
        return self

    def detach(self) -> None:
        """Give the U-Net its own bits back; nothing happens if not attached."""
        if self._unet is not None:
            self._leave()
            self._pipeline = self._unet = None

    def _apply_strength(self) -> None:
        if self._unet is not None:
            self._apply()

    @abstractmethod
    def _enter(self, unet: Any, pipeline: Any) -> None:
        """Put the weights into the U-Net."""

    @abstractmethod
    def _apply(self) -> None:
        """Make the strength count."""

    @abstractmethod
    def _leave(self) -> None:
        """Take the weights out again."""


class TrainedLora(_Weights):
    """LoRA matrices of the methods ``lora``, ``attention`` and ``region``; beside other LoRAs."""

    _name = ""  # peft's, while attached
    _others: tuple[str, ...] = ()  # peft's adapters that were active before

    def _enter(self, unet: Any, pipeline: Any) -> None:
        with explained_imports():
            import peft  # noqa: F401  # pyright: ignore[reportUnusedImport] - diffusers needs it
        known = getattr(unet, "peft_config", None) or {}
        self._others = tuple(_active(unet)) if known else ()
        self._name = next(n for n in (f"trained_{i}" for i in count()) if n not in known)
        tensors = {name: tensor.to(unet.dtype) for name, tensor in self._tensors.items()}
        unet.load_lora_adapter(tensors, prefix="unet", adapter_name=self._name, _pipeline=pipeline)
        for name, parameter in unet.named_parameters():
            if f".{self._name}." in name:
                parameter.requires_grad_(requires_grad=False)

    def _apply(self) -> None:
        # At 0 the layers are left out: the very operations of the base.
        active = [*self._others, *([self._name] if self._strength else [])]
        for layer in _lora_layers(self._unet):
            if self._strength and self._name in layer.scaling:
                layer.set_scale(self._name, self._strength)
            grads = [(p, p.requires_grad) for p in layer.parameters()]
            layer.set_adapter(active)
            for parameter, before in grads:  # peft lets what is active train
                parameter.requires_grad_(before)

    def _leave(self) -> None:
        unet = self._unet
        remove_lora(unet, self._name)
        for layer in _lora_layers(unet) if self._others else ():
            layer.set_adapter(list(self._others))


class TrainedUnet(_Weights):
    """A U-Net's own weights, trained: the method ``full`` and what ends in ``+full``."""

    def __init__(self, card: MethodCard, tensors: Mapping[str, Tensor]) -> None:
        super().__init__(card, tensors)
        self._own: dict[str, Tensor] = {}  # the base's weights, while attached

    def _enter(self, unet: Any, pipeline: Any) -> None:
        own = dict(unet.named_parameters())
        if any(parameter.is_meta for parameter in own.values()):
            raise CheckpointError(
                "the base's weights are offloaded: attach before enable_model_cpu_offload()"
            )
        shapes = {name: tuple(tensor.shape) for name, tensor in self._tensors.items()}
        if shapes != {name: tuple(parameter.shape) for name, parameter in own.items()}:
            raise CheckpointError(
                "the weights do not fit this U-Net's parameters; are other LoRAs attached to it?"
            )
        self._own = {name: parameter.data for name, parameter in own.items()}

    def _apply(self) -> None:
        for name, parameter in self._unet.named_parameters():
            own = self._own[name]
            trained = self._tensors[name].to(own.device)
            if self._strength == 0:
                parameter.data = own
            elif self._strength == 1:
                parameter.data = trained.to(own.dtype)
            else:
                mixed = torch.lerp(own.float(), trained.float(), self._strength)
                parameter.data = mixed.to(own.dtype)

    def _leave(self) -> None:
        for name, parameter in self._unet.named_parameters():
            parameter.data = self._own[name]
        self._own = {}


def _lora_layers(unet: Any) -> list[Any]:
    from peft.tuners.tuners_utils import BaseTunerLayer

    return [module for module in unet.modules() if isinstance(module, BaseTunerLayer)]


def _active(unet: Any) -> list[str]:
    layers = _lora_layers(unet)
    return list(layers[0].active_adapters) if layers else []
