"""The human token extractor: which words and sub-word tokens of a caption are about people.

The paper picks "human-centric words" with a pre-trained entity-relation network and shows "yoga"
and "woman"; this is our reading: a lexicon and a light parse, no model, three kinds (person,
action, body). Importing this module loads neither torch nor transformers.

Shapes: B captions, K text tokens (``tokenizer.model_max_length``, 77 for CLIP).
"""

import re
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any, get_args

from hcp.tokens.lexicon import ANIMAL, TRIGGERS, readings
from hcp.tokens.phrases import Phrases
from hcp.tokens.tagger import Tagger
from storage.records import Span, SpanKind

if TYPE_CHECKING:
    from torch import BoolTensor, LongTensor
    from transformers import PreTrainedTokenizerBase

TOKENS_VERSION = 3
"""Counts changes that alter ``human_spans``; part of every shard's fingerprint."""
SPAN_KINDS: tuple[SpanKind, ...] = get_args(SpanKind)
"""The kinds in the order of ``human_token_kinds``: kind ``SPAN_KINDS[n - 1]`` has number n."""

_WORD = re.compile(r"[^\W_]+(?:['\-][^\W_]+)*|[,.;:!?()\"]")
_PIECE_MARKS = re.compile(r"</w>$|^(?:Ġ|▁|##)")
_RESYNC_CHARS = 24  # how far ahead a sub-word may be found after one that could not be placed
_MAX_TOKENS = 1 << 16


def human_spans(caption: str) -> list[Span]:
    """Return the human words of a caption in text order; empty where it names no person.

    ``person``: heads of nouns for people and groups; ``action``: verbs and activity nouns whose
    doer is a person of the caption; ``body``: parts of a human body. A genitive's span leaves out
    the ending ("man" of "man's hand").
    """
    parsed = parse_caption(caption)
    if parsed is None:
        return []
    spans: list[Span] = []
    for position, match in enumerate(_WORD.finditer(_straight(caption))):
        kind = parsed.kinds.get(position)
        if kind is not None:
            start, end = match.span()
            if parsed.words[position].endswith("'s"):
                end -= 2
            spans.append(Span(start=start, end=end, text=caption[start:end], kind=kind))
    return spans


def parse_caption(caption: str) -> Phrases | None:
    """Return the noun phrases and human words of a caption; None where it has no human word."""
    words: list[str] = [word.lower() for word in _WORD.findall(_straight(caption))]
    flags = [readings(word) for word in words]
    found = 0
    for word_flags in flags:
        found |= word_flags
    if not found & TRIGGERS:
        return None
    parsed = Tagger(words, flags, animals=bool(found & ANIMAL)).run()
    return parsed if parsed.kinds else None


def _straight(caption: str) -> str:
    return caption.replace("\u2019", "'")  # one character for another: positions stay


def human_token_mask(
    tokenizer: "PreTrainedTokenizerBase",
    captions: Sequence[str],
    *,
    kinds: Collection[SpanKind] = SPAN_KINDS,
) -> "BoolTensor":
    """Mark the sub-word tokens of human words.

    Returns:
        Bool [B, K], aligned with the ids of ``tokenizer(captions, padding="max_length",
        truncation=True, max_length=K)``, K = ``tokenizer.model_max_length``. Special and padding
        tokens are never human; words cut off by truncation are simply absent.
    Raises:
        ValueError: a kind is unknown, or the tokenizer states no length.
    """
    unknown = set(kinds) - set(SPAN_KINDS)
    if unknown:
        raise ValueError(f"kinds must be among {SPAN_KINDS}, got {sorted(unknown)}")
    import torch

    numbers = torch.tensor([SPAN_KINDS.index(kind) + 1 for kind in kinds], dtype=torch.long)
    mask: Any = torch.isin(human_token_kinds(tokenizer, captions), numbers)
    return mask


def human_token_kinds(
    tokenizer: "PreTrainedTokenizerBase", captions: Sequence[str]
) -> "LongTensor":
    """Return the kind of each token, long [B, K]: 0 none, 1 person, 2 action, 3 body.

    Alignment and errors as in ``human_token_mask``.
    """
    return encode_captions(tokenizer, captions)[1]


def encode_captions(
    tokenizer: "PreTrainedTokenizerBase", captions: Sequence[str]
) -> "tuple[LongTensor, LongTensor]":
    """Return the input ids of captions and the kinds of their tokens, both long [B, K].

    Alignment, kinds and errors as in ``human_token_kinds``.
    """
    import torch

    length = tokenizer.model_max_length
    if not 0 < length <= _MAX_TOKENS:
        raise ValueError(f"tokenizer.model_max_length must be in 1..{_MAX_TOKENS}, got {length}")
    ids, offsets = _tokenized(tokenizer, captions, length)
    kinds: Any = torch.zeros(len(captions), length, dtype=torch.long)
    for row, caption in enumerate(captions):
        spans = human_spans(caption)
        for column, (start, end) in enumerate(offsets[row] if spans else ()):
            for span in spans:
                if start < span.end and span.start < end:
                    kinds[row, column] = SPAN_KINDS.index(span.kind) + 1
                    break
    numbers: Any = torch.tensor(ids, dtype=torch.long).reshape(len(captions), length)
    return numbers, kinds


def human_mask_of_ids(
    tokenizer: "PreTrainedTokenizerBase",
    input_ids: "Sequence[Sequence[int] | LongTensor]",
    *,
    length: int | None = None,
) -> "BoolTensor":
    """Mark the tokens of human words in rows of token ids, however these were laid out.

    For embeddings that another tool made of a prompt: weighted words, or a long prompt in several
    windows, each with its own start, end and padding. Windows read on as one text.

    Args:
        tokenizer: that the ids are of.
        input_ids: a row for each prompt; rows may differ in length.
        length: K of the embeddings, where they were padded beyond the longest row.
    Returns:
        Bool [B, K].
    Raises:
        ValueError: a row is longer than ``length``.
    """
    import torch

    rows = [torch.as_tensor(row).flatten().tolist() for row in input_ids]
    longest = max((len(row) for row in rows), default=0)
    width = longest if length is None else length
    if longest > width:
        raise ValueError(f"length is {width}, but a row has {longest} token ids")
    mask: Any = torch.zeros(len(rows), width, dtype=torch.bool)
    for row, ids in enumerate(rows):
        text, places = _read(tokenizer, ids)
        for span in human_spans(text):
            for column, (start, end) in enumerate(places):
                if start < span.end and span.start < end:
                    mask[row, column] = True
    return mask


def _read(
    tokenizer: "PreTrainedTokenizerBase", ids: Sequence[int]
) -> tuple[str, list[tuple[int, int]]]:
    """The text of token ids, and each token's character range in it; (0, 0) for special ones."""
    special = frozenset(tokenizer.all_special_ids)
    pieces: Any = tokenizer.convert_ids_to_tokens(list(ids))
    text = ""
    places: list[tuple[int, int]] = []
    for token_id, piece in zip(ids, pieces, strict=True):
        if token_id in special:
            places.append((0, 0))
            continue
        surface = _PIECE_MARKS.sub("", piece)
        if piece.startswith(("Ġ", "▁")) and text:
            text += " "
        if surface.startswith("'"):  # "man's" is two pieces
            text = text.removesuffix(" ")
        places.append((len(text), len(text) + len(surface)))
        text += f"{surface} " if piece.endswith("</w>") else surface
    return text, places


def _tokenized(
    tokenizer: "PreTrainedTokenizerBase", captions: Sequence[str], length: int
) -> tuple[list[list[int]], list[list[tuple[int, int]]]]:
    """Return the ids, and each token's character range in its caption; (0, 0) for special ones."""
    if not captions:
        return [], []
    settings: dict[str, Any] = {"padding": "max_length", "truncation": True, "max_length": length}
    if not tokenizer.is_fast:
        ids: Any = tokenizer(list(captions), **settings)["input_ids"]
        pairs = zip(captions, ids, strict=True)
        return ids, [list(_matched_offsets(tokenizer, *each)) for each in pairs]
    encoding: Any = tokenizer(list(captions), return_offsets_mapping=True, **settings)
    special = frozenset(tokenizer.all_special_ids)
    return encoding["input_ids"], [
        [(0, 0) if token in special else place for token, place in zip(*row, strict=True)]
        for row in zip(encoding["input_ids"], encoding["offset_mapping"], strict=True)
    ]


def _matched_offsets(
    tokenizer: "PreTrainedTokenizerBase", caption: str, ids: Sequence[int]
) -> Iterator[tuple[int, int]]:
    """Place sub-words by their text, left to right, for tokenizers without offsets."""
    text = caption.lower()
    if len(text) != len(caption):  # a few letters change length in lower case
        text = caption
    special = frozenset(tokenizer.all_special_ids)
    pieces: Any = tokenizer.convert_ids_to_tokens(list(ids))
    cursor = 0
    for token_id, piece in zip(ids, pieces, strict=True):
        surface = "" if token_id in special else _PIECE_MARKS.sub("", piece).lower()
        start = text.find(surface, cursor, cursor + _RESYNC_CHARS + len(surface))
        if not surface or start < 0:
            yield 0, 0
            continue
        cursor = start + len(surface)
        yield start, cursor
