"""An adapter inside a U-Net, and the pipelines that draw with that U-Net.

diffusers tells nobody when a pipeline is made from another's parts, as ``from_pipe`` does. So while
an adapter is attached, ``DiffusionPipeline.register_modules``, through which every pipeline gets
its parts, is wrapped; the last one to leave unwraps it.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any
from weakref import WeakSet

from diffusers import DiffusionPipeline
from torch import nn

from hcp.inject import Injection
from hcp.pipeline_tokens import PipelineTokens, can_watch
from hcp.sites import plain

_followers: WeakSet["_Following"] = WeakSet()  # a follower that nobody keeps is gone
_MARK = "_before_hcp"


class Attachment:
    """One injection, told of the prompts of each pipeline that uses its U-Net.

    Pipelines that are made from others on the same U-Net while it lasts (``from_pipe``) join by
    themselves.
    """

    def __init__(self, injection: Injection) -> None:
        self.injection = injection
        self._named: list[PipelineTokens] = []  # by attach()
        self._joined: WeakSet[PipelineTokens] = WeakSet()  # their pipelines hold them
        self._following = _Following(injection.unet, self._join)

    @property
    def pipelines(self) -> list[Any]:
        """Those that it was attached to, and those that joined."""
        return [tokens.pipeline for tokens in (*self._named, *self._joined)]

    def is_for(self, pipeline: Any) -> bool:
        """Whether the pipeline draws with this U-Net."""
        return plain(pipeline.unet) is plain(self.injection.unet)

    def has(self, pipeline: Any) -> bool:
        """Whether the pipeline's prompts are heard."""
        return any(known is pipeline for known in self.pipelines)

    def add(self, pipeline: Any) -> None:
        """Hear of the pipeline's prompts; ValueError: it does not tell of them."""
        if not self.has(pipeline):
            self._named.append(PipelineTokens(pipeline, self.injection, owner=self))

    def leave(self, pipeline: Any) -> None:
        """Hear of its prompts no more."""
        for tokens in (*self._named, *self._joined):
            if tokens.pipeline is pipeline:
                tokens.remove()
                self._joined.discard(tokens)
        self._named = [tokens for tokens in self._named if tokens.pipeline is not pipeline]

    def remove(self) -> None:
        """Give U-Net and pipelines back as they were."""
        self._following.stop()
        for pipeline in self.pipelines:
            self.leave(pipeline)
        self.injection.remove()

    @property
    def is_used(self) -> bool:
        """Whether it was attached to a pipeline that it has not left."""
        return bool(self._named)

    def _join(self, pipeline: Any) -> None:
        if can_watch(pipeline) and not self.has(pipeline):
            self._joined.add(PipelineTokens(pipeline, self.injection))


class _Following:
    """Calls ``found`` with each pipeline that gets the U-Net, until ``stop``."""

    def __init__(self, unet: nn.Module, found: Callable[[Any], None]) -> None:
        self.unet = plain(unet)
        self.found = found
        _followers.add(self)
        if _unwrapped(DiffusionPipeline.register_modules) is None:
            DiffusionPipeline.register_modules = _telling(DiffusionPipeline.register_modules)

    def stop(self) -> None:
        """Follow no more."""
        _followers.discard(self)
        before = _unwrapped(DiffusionPipeline.register_modules)
        if not _followers and before is not None:  # another's wrapper around ours stays
            DiffusionPipeline.register_modules = before


def _telling(register: Any) -> Any:
    @wraps(register)
    def register_modules(pipeline: Any, **modules: Any) -> None:
        register(pipeline, **modules)
        unet = modules.get("unet")
        for follower in tuple(_followers):
            if isinstance(unet, nn.Module) and plain(unet) is follower.unet:
                follower.found(pipeline)

    register_modules.__dict__[_MARK] = register
    return register_modules


def _unwrapped(register: Any) -> Any | None:
    return register.__dict__.get(_MARK)
