"""The words of a caption that are about people; loads no torch."""

from hcp.tokens.spans import (
    SPAN_KINDS,
    TOKENS_VERSION,
    human_mask_of_ids,
    human_spans,
    human_token_kinds,
    human_token_mask,
)

__all__ = [
    "SPAN_KINDS",
    "TOKENS_VERSION",
    "human_mask_of_ids",
    "human_spans",
    "human_token_kinds",
    "human_token_mask",
]
