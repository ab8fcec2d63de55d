"""The one seam between HcP and a U-Net: attention processors, put in and taken out again.

B batch, Q latent pixels, K text tokens, J selected tokens.
"""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.models.attention_processor import (
    IPAdapterAttnProcessor,
    IPAdapterAttnProcessor2_0,
    IPAdapterXFormersAttnProcessor,
)
from torch import Tensor, nn

from hcp.config import Stage
from hcp.human_term import HumanTerm
from hcp.layer import HcpLayer
from hcp.processor import BASE_PROCESSORS, HcpProcessor
from hcp.row_plan import TokenSelection
from hcp.sites import Site, attention_at
from hcp.token_state import TokenState

STAYING_PROCESSORS = (
    IPAdapterAttnProcessor2_0,
    IPAdapterAttnProcessor,
    IPAdapterXFormersAttnProcessor,
)
"""Processors with weights and settings of their own, which pipelines look for in their place."""

_KNOWN = ", ".join(kind.__name__ for kind in (*BASE_PROCESSORS, *STAYING_PROCESSORS))


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerMap:
    """Human maps of one cross-attention in the last forward pass, with their gradient."""

    site: str
    stage: Stage
    height: int
    width: int
    attn_map: Tensor  # [B, Q, J], head mean of M_h at the selected tokens; 0 in rows without


def layer_maps(
    sites: Sequence[Site], maps: Mapping[str, Tensor], latent_size: tuple[int, int]
) -> list[LayerMap]:
    """Maps [B, Q, J] by the sites' names, with their places; in the sites' order.

    Args:
        latent_size: height and width of the latents that the U-Net got.
    Raises:
        ValueError: the maps are not of latents of that size.
    """
    found: list[LayerMap] = []
    for site in sites:
        attn_map = maps.get(site.name)
        if attn_map is None:
            continue
        height, width = site.map_size(latent_size)
        if height * width != attn_map.shape[1]:
            raise ValueError(
                f"{site.name}: {attn_map.shape[1]} map pixels, expected {height} x {width} "
                f"for latents of {latent_size}"
            )
        found.append(
            LayerMap(
                site=site.name, stage=site.stage, height=height, width=width, attn_map=attn_map
            )
        )
    return found


class Injection:
    """HcP layers inside one U-Net, until ``remove``.

    For training: ``with injection.tokens(mask, record=...): unet(...)``, then ``maps()``. With
    gradient checkpointing the backward pass, which runs the layers again, belongs inside too.
    """

    def __init__(
        self,
        unet: nn.Module,
        sites: Sequence[Site],
        layers: Mapping[str, HcpLayer],
        *,
        gamma: float,
    ) -> None:
        """Put one HcP layer into each site's cross-attention.

        Raises:
            ValueError: a site has a processor that is not one of diffusers' standard ones.
        """
        self._unet = unet
        self._sites = tuple(sites)
        self.state = TokenState()
        for site in self._sites:
            attn = attention_at(unet, site)
            if not _can_sit(attn):
                raise ValueError(
                    f"HcP stands beside diffusers' own attention processors ({_KNOWN}), but "
                    f"{site.name} has {type(attn.processor).__name__}: remove that first"
                )
        self._terms = {
            site.name: HumanTerm(site, layers[site.name], gamma=gamma, state=self.state)
            for site in self._sites
        }
        self._seats = {
            site.name: _sit_down(attention_at(unet, site), self._terms[site.name])
            for site in self._sites
        }

    @property
    def unet(self) -> nn.Module:
        """The U-Net that the layers are in."""
        return self._unet

    @contextmanager
    def tokens(
        self, token_mask: Tensor, *, kinds: Tensor | None = None, record: Sequence[Stage] = ()
    ) -> Generator[None]:
        """Announce the human tokens of the batch for the U-Net calls inside.

        Args:
            token_mask: [B, K], bool.
            kinds: [B, K], int64, kind of each human token (``hcp.targets.KINDS``).
            record: stages whose human maps ``maps()`` gives afterwards.
        """
        names = frozenset(site.name for site in self._sites if site.stage in record)
        self.state.set(token_mask, kinds=kinds, record=names)
        try:
            yield
        finally:
            self.state.clear()

    def maps(self, latent_size: tuple[int, int]) -> list[LayerMap]:
        """Human maps of the last U-Net call, in the sites' order; empty without human tokens.

        Args:
            latent_size: height and width of the latents that the U-Net got.
        Raises:
            ValueError: the maps are not of latents of that size.
        """
        return layer_maps(self._sites, self.state.maps, latent_size)

    def selection(self) -> TokenSelection:
        """The human tokens that the maps' last axis stands for.

        Raises:
            ValueError: no batch is announced.
        """
        if self.state.selection is None:
            raise ValueError("no batch is announced: call inside `with injection.tokens(...)`")
        return self.state.selection

    def reinstall(self) -> None:
        """Stand beside the processors that the pipeline changed to since, as slicing does.

        Raises:
            ValueError: something unknown replaced HcP, which would silently do nothing.
        """
        for site in self._sites:
            attn, term = attention_at(self._unet, site), self._terms[site.name]
            if _is_seated(attn, term):
                continue
            if not _can_sit(attn):
                raise ValueError(_replaced(site.name, attn))
            self._seats[site.name] = _sit_down(attn, term, self._seats[site.name])

    def to(self, device: torch.device) -> None:
        """Move the layers there, where the U-Net is to run."""
        for term in self._terms.values():
            term.layer.to(device)

    def check(self) -> None:
        """See that the layers are still in their places.

        Raises:
            ValueError: something replaced HcP, which has silently done nothing.
        """
        for site in self._sites:
            attn = attention_at(self._unet, site)
            if not _is_seated(attn, self._terms[site.name]):
                raise ValueError(_replaced(site.name, attn))

    def remove(self) -> None:
        """Put the original processors back; what others installed since stays."""
        for site in self._sites:
            attn = attention_at(self._unet, site)
            _get_up(attn, self._terms[site.name], self._seats[site.name])
        self.state.clear()


def _replaced(site: str, attn: Any) -> str:
    return (
        f"HcP was replaced at {site} by {type(attn.processor).__name__} after attaching: "
        "detach() the adapter, or remove that"
    )


def _can_sit(attn: Any) -> bool:
    """Whether the attention's processor is one that human terms can be added to."""
    return type(attn.processor) in (HcpProcessor, *BASE_PROCESSORS, *STAYING_PROCESSORS)


def _is_seated(attn: Any, term: HumanTerm) -> bool:
    """Whether the attention adds the term now, in the way that suits its processor."""
    processor, guest = attn.processor, _guest(attn)
    if isinstance(processor, HcpProcessor):
        return term in processor.terms
    return type(processor) in STAYING_PROCESSORS and guest is not None and term in guest.terms


def _sit_down(attn: Any, term: HumanTerm, seat: HcpProcessor | None = None) -> HcpProcessor:
    """Let an attention that has a place add the term; return where the term sits.

    Args:
        seat: where it sat before something else took the processor's place; it gets up there.
    """
    processor, guest = attn.processor, _guest(attn)
    if isinstance(processor, HcpProcessor):
        place = processor
    elif type(processor) in BASE_PROCESSORS:
        place = attn.processor = HcpProcessor(base=processor)
    elif guest is not None:
        place = guest
    else:
        place = HcpProcessor()
        attn.register_forward_hook(place.after, with_kwargs=True)
    if term not in place.terms:
        place.terms = (*place.terms, term)
    for other in (seat, guest):
        if other is not None and other is not place:
            _leave(attn, other, term)
    return place


def _get_up(attn: Any, term: HumanTerm, seat: HcpProcessor) -> None:
    """Take the term away; with the last one the attention is as it was."""
    for place in {id(p): p for p in (seat, attn.processor, _guest(attn))}.values():
        if isinstance(place, HcpProcessor):
            _leave(attn, place, term)


def _leave(attn: Any, place: HcpProcessor, term: HumanTerm) -> None:
    place.terms = tuple(other for other in place.terms if other is not term)
    if place.terms:
        return
    if attn.processor is place:
        attn.processor = place.base
    for number, hook in list(attn._forward_hooks.items()):
        if getattr(hook, "__self__", None) is place:
            del attn._forward_hooks[number]
            attn._forward_hooks_with_kwargs.pop(number, None)


def _guest(attn: Any) -> HcpProcessor | None:
    places = (getattr(hook, "__self__", None) for hook in attn._forward_hooks.values())
    return next((place for place in places if isinstance(place, HcpProcessor)), None)
