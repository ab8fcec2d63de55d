"""The place of human terms at one cross-attention: in its processor, or beside it as a hook."""

from typing import Any

from diffusers.models.attention_processor import (
    IPAdapterAttnProcessor,
    IPAdapterAttnProcessor2_0,
    IPAdapterXFormersAttnProcessor,
)

from hcp.human_term import HumanTerm
from hcp.processor import BASE_PROCESSORS, HcpProcessor

STAYING_PROCESSORS = (
    IPAdapterAttnProcessor2_0,
    IPAdapterAttnProcessor,
    IPAdapterXFormersAttnProcessor,
)
"""Processors with weights and settings of their own, which pipelines look for in their place."""


def can_sit(attn: Any) -> bool:
    """Whether the attention's processor is one that human terms can be added to."""
    return type(attn.processor) in (HcpProcessor, *BASE_PROCESSORS, *STAYING_PROCESSORS)


def is_seated(attn: Any, term: HumanTerm) -> bool:
    """Whether the attention adds the term now, in the way that suits its processor."""
    processor, guest = attn.processor, _guest(attn)
    if isinstance(processor, HcpProcessor):
        return term in processor.terms
    return type(processor) in STAYING_PROCESSORS and guest is not None and term in guest.terms


def sit_down(attn: Any, term: HumanTerm, seat: HcpProcessor | None = None) -> HcpProcessor:
    """Let an attention that ``can_sit`` add the term; return where the term sits.

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


def get_up(attn: Any, term: HumanTerm, seat: HcpProcessor) -> None:
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
