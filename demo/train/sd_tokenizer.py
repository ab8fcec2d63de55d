"""A small CLIP tokenizer made from the drawn world's captions.

The vocabulary is byte-level as in CLIP: every byte alone and at a word's end, then merges learned
until each caption word is one token. Unknown words fall apart into smaller known pieces.
"""

import json
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

from transformers import CLIPTokenizer

MAX_TOKENS = 77
_START, _END = "<|startoftext|>", "<|endoftext|>"


def _byte_symbols() -> list[str]:
    """The printable stand-ins of the 256 bytes, in CLIP's (and GPT-2's) order."""
    kept = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1)]
    kept += range(ord("®"), ord("ÿ") + 1)
    others = [b for b in range(256) if b not in kept]
    return [chr(b) for b in kept] + [chr(256 + i) for i in range(len(others))]


def _merges(words: Counter[str]) -> list[tuple[str, str]]:
    """Byte-pair merges, most frequent pair first, until every word is one symbol."""
    pieces = {word: (*word[:-1], word[-1] + "</w>") for word in words}
    merges: list[tuple[str, str]] = []
    while True:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, parts in pieces.items():
            for pair in pairwise(parts):
                pairs[pair] += words[word]
        if not pairs:
            return merges
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        pieces = {word: _merge(parts, best) for word, parts in pieces.items()}


def _merge(parts: tuple[str, ...], pair: tuple[str, str]) -> tuple[str, ...]:
    merged: list[str] = []
    i = 0
    while i < len(parts):
        if parts[i : i + 2] == pair:
            merged.append(parts[i] + parts[i + 1])
            i += 2
        else:
            merged.append(parts[i])
            i += 1
    return tuple(merged)


def write_tokenizer(folder: Path, captions: Iterable[str]) -> CLIPTokenizer:
    """Write ``vocab.json`` and ``merges.txt`` for the captions' words; return the tokenizer.

    Captions must be lower-case ASCII words between single spaces.
    """
    words = Counter(word for caption in captions for word in caption.split())
    symbols = _byte_symbols()
    merges = _merges(words)
    tokens = [*symbols, *(s + "</w>" for s in symbols), *("".join(m) for m in merges)]
    vocabulary = {t: i for i, t in enumerate([*dict.fromkeys(tokens), _START, _END])}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), "utf-8")
    lines = ["#version: 0.2", *(" ".join(m) for m in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", "utf-8")
    return CLIPTokenizer.from_pretrained(folder, model_max_length=MAX_TOKENS)
