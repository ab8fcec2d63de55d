"""The HcP adapter: the trainable layers, where they go, and how they are saved."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from math import isfinite
from os import fspath
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hcp.attachment import Attachment
from hcp.checkpoint import AdapterCard, read_checkpoint, write_checkpoint
from hcp.config import HcpConfig, Stage
from hcp.inject import Injection
from hcp.layer import HcpLayer
from hcp.pipeline_tokens import as_mask
from hcp.sites import base_fingerprint, check_base, find_sites
from storage.errors import CheckpointError
from storage.hub import is_hub_id
from storage.locations import exists, normalised
from storage.registry import checkpoint_place


class WithStrength:
    """How much of what was trained is drawn with, for checkpoints of every method."""

    _strength = 1.0

    @property
    def strength(self) -> float:
        """0 gives the base's bits, 1 what was trained.

        May be set at any time; ValueError where it is not finite.
        """
        return self._strength

    @strength.setter
    def strength(self, value: float) -> None:
        if not isfinite(value):
            raise ValueError(f"{type(self).__name__}.strength must be finite, got {value}")
        self._strength = float(value)
        self._apply_strength()

    @contextmanager
    def at_strength(self, value: float) -> Generator[None]:
        """The pipeline calls inside are drawn at this strength; the one before comes back after.

        Raises:
            ValueError: it is not finite.
        """
        before = self._strength
        self.strength = value
        try:
            yield
        finally:
            self.strength = before

    def _apply_strength(self) -> None:
        """Make it count in the pipeline, where there is one."""


class HcpAdapter(WithStrength, nn.Module):
    """HcP layers for the cross-attentions of one base U-Net.

    Parameters are named ``hcp.<site>.phi...``, ``.psi...`` and ``.gate``, the dots of a site's
    module path written as dashes. The base model is never a submodule: it stays frozen and
    unchanged.
    """

    def __init__(self, card: AdapterCard) -> None:
        super().__init__()
        self.card = card
        config = card.config
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.init_seed)
            self.hcp = nn.ModuleDict(
                {
                    _key(site.name): HcpLayer(site.text_dim, site.inner_dim, config)
                    for site in card.sites
                }
            )
        self._attachments: list[Attachment] = []  # one for each U-Net

    @property
    def config(self) -> HcpConfig:
        """The settings that the layers were built with."""
        return self.card.config

    @property
    def pipeline(self) -> Any | None:
        """The pipeline that it is attached to, the first of several."""
        return next((p for attachment in self._attachments for p in attachment.pipelines), None)

    def is_attached(self, pipeline: Any) -> bool:
        """Whether it draws along in this pipeline: attached, or made from one that it is in."""
        return any(attachment.has(pipeline) for attachment in self._attachments)

    def parameter_count(self) -> dict[tuple[Stage, int], int]:
        """Trainable parameters by U-Net stage and map scale (latent px per map px)."""
        counts: dict[tuple[Stage, int], int] = {}
        for site in self.card.sites:
            own = sum(p.numel() for p in self._layer(site.name).parameters())
            where = (site.stage, site.scale)
            counts[where] = counts.get(where, 0) + own
        return counts

    @classmethod
    def create(
        cls, unet: nn.Module, config: HcpConfig | None = None, *, base_model: str | None = None
    ) -> "HcpAdapter":
        """New layers for this U-Net, initialised from ``config.init_seed`` alone.

        Raises:
            ValueError: the U-Net has no cross-attention where ``config`` wants one.
        """
        config = config or HcpConfig()
        sites = find_sites(unet, config)
        known = base_fingerprint(unet, sites)
        card = AdapterCard(
            config=config, sites=sites, base_fingerprint=known, base_model=base_model
        )
        return cls(card)

    @classmethod
    def from_pretrained(
        cls,
        path_or_registry_uri: str | Path,
        *,
        tracking_uri: str | None = None,
        revision: str | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> "HcpAdapter":
        """Load a checkpoint.

        Args:
            path_or_registry_uri: a directory or fsspec URL, a pointer such as ``<out>/latest``,
                ``hcp-registry:<name>/<version>`` with a number or ``champion``, or a hub id
                ``owner/name``, whose cached copy is taken where there is one.
            revision: branch, tag or commit of a hub id; ``owner/name@revision`` says the same.
            tracking_uri: of the registry; None: MLFLOW_TRACKING_URI, else ``./hcp-registry.db``.
            dtype: of the layers, whatever the file's.
        Raises:
            CheckpointError: incomplete, changed, or not an adapter; the hub has no such one.
            RegistryError: the registry does not know it, or it is not what was registered.
            ValueError: a revision of something that is no hub id.
        """
        name = fspath(path_or_registry_uri)
        if revision is not None and (not is_hub_id(name) or exists(name)):
            raise ValueError(f"revision {revision!r} is for a hub id owner/name, got {name!r}")
        uri = checkpoint_place(name if revision is None else f"{name}@{revision}", tracking_uri)
        card, tensors = read_checkpoint(uri)
        adapter = cls(card).to(dtype)
        try:
            adapter.load_state_dict(tensors)
        except RuntimeError as error:
            raise CheckpointError(f"checkpoint {uri}: weights do not fit: {error}") from error
        return adapter

    def save_pretrained(
        self,
        path: str | Path,
        *,
        step: int = 0,
        dataset_version: str | None = None,
        base_model: str | None = None,
        teachers: Sequence[str] | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Write a checkpoint to a directory or fsspec URL; what is there already is replaced.

        ``step`` counts optimizer steps; ``base_model`` None keeps the one known, and so
        ``teachers``; ``dtype`` torch.float16 or torch.bfloat16 halves the file, None keeps every
        bit.

        Raises:
            ValueError: a weight is beyond the dtype's range; nothing is written then.
        """
        card = replace(
            self.card,
            step=step,
            dataset_version=dataset_version,
            base_model=base_model or self.card.base_model,
            teachers=self.card.teachers if teachers is None else tuple(teachers),
        )
        write_checkpoint(normalised(path), self.state_dict(), card, dtype=dtype)

    def inject(self, unet: nn.Module, *, any_base: bool = False) -> Injection:
        """Put the layers into a U-Net without a pipeline, for training; undo with ``remove()``.

        Args:
            unet: the base, of the kind that the adapter was made for.
            any_base: accept a base of the same layout with other weights.
        Raises:
            CheckpointError: the adapter was made for another base; the message says what differs.
            ValueError: the U-Net's attention processors are not diffusers' standard ones.
        """
        fingerprint = {} if any_base else self.card.base_fingerprint
        check_base(unet, self.config, self.card.sites, fingerprint)
        layers = {site.name: self._layer(site.name) for site in self.card.sites}
        return Injection(unet, self.card.sites, layers, gamma=self.config.gamma)

    def attach(self, pipeline: Any, *, any_base: bool = False) -> "HcpAdapter":
        """Plug into a diffusers pipeline; ``pipeline("a woman doing yoga")`` then works as ever.

        Prompts without human words, and all unconditional and negative prompts, give bit for bit
        what the base gives. Pipelines made from this one (``from_pipe``) while it is attached draw
        with the adapter too; further ones are attached likewise, on this U-Net or another of the
        same kind. Several adapters on one pipeline add their terms, each with its strength.

        Raises as ``inject`` does, and ValueError if attached to this pipeline already.
        """
        if self.is_attached(pipeline):
            raise ValueError(
                "the adapter is attached already to this pipeline: detach() it first (other "
                "pipelines can be attached beside it)"
            )
        here = next((found for found in self._attachments if found.is_for(pipeline)), None)
        if here is not None:
            here.add(pipeline)
            return self
        attachment = Attachment(self.inject(pipeline.unet, any_base=any_base))
        attachment.injection.state.strength = self._strength
        try:
            attachment.add(pipeline)
        except ValueError:
            attachment.remove()
            raise
        self._attachments.append(attachment)
        return self

    def detach(self, pipeline: Any | None = None) -> None:
        """Give the pipelines back as they were; nothing happens if not attached.

        Args:
            pipeline: the only one to leave; None: all of them.
        """
        for attachment in tuple(self._attachments):
            if pipeline is not None:
                attachment.leave(pipeline)
            if pipeline is None or not attachment.is_used:
                attachment.remove()
                self._attachments.remove(attachment)

    @contextmanager
    def token_mask(self, token_mask: Tensor) -> Generator[None]:
        """Say which tokens are human in the pipeline calls inside, instead of the token extractor.

        Args:
            token_mask: bool [prompts, tokens]; needed where ``prompt_embeds`` are given.
        Raises:
            ValueError: not attached, or not two-dimensional.
        """
        if not self._attachments:
            raise ValueError("token_mask() is for an attached adapter: call attach(pipeline) first")
        states = [attachment.injection.state for attachment in self._attachments]
        before, mask = [state.given for state in states], as_mask(token_mask)
        try:
            for state in states:
                state.given = mask
            yield
        finally:
            for state, given in zip(states, before, strict=True):
                state.given = given

    def _apply_strength(self) -> None:
        for attachment in self._attachments:
            attachment.injection.state.strength = self._strength

    def _layer(self, site: str) -> HcpLayer:
        layer = self.hcp[_key(site)]
        assert isinstance(layer, HcpLayer)
        return layer


def _key(site: str) -> str:
    return site.replace(".", "-")  # nn.ModuleDict forbids dots
