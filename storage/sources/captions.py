"""Captions as people keep them: under which names, in which shapes, in which encodings.

One table of names serves every format: sidecars, metadata files, tables, tars, COCO json.
"""

import ast
import codecs
import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

CAPTION_FIELDS = (
    "caption", "text", "captions", "description", "prompt", "sentence",
    "texts", "descriptions", "prompts", "sentences",
    "text_input", "input_text", "caption_text", "text_prompt", "positive_prompt", "prompt_text",
    "image_caption", "image_captions", "img_caption", "image_description", "image_text",
    "raw", "sentences_raw", "raw_caption", "original_caption", "long_caption", "detailed_caption",
    "short_caption", "generated_caption", "synthetic_caption", "re_caption", "vlm_caption",
    "llava_caption", "blip_caption", "alt_text", "alt", "txt", "comment", "comments", "caption_str",
    "reference_strs", "tag_string",
)  # fmt: skip
"""Names of fields and columns that hold captions, the first with a text wins.

Case, blanks, ``_``, ``-`` and a number at the end do not matter: ``TEXT``, ``Image Caption`` and
``caption_0`` are such names. After all of them come those that end in ``caption``, whoever wrote
it: ``human_caption``, ``qwen2_caption``.
"""

TEXT_SUFFIXES = (".txt", ".caption", ".captions", ".cap", ".text", ".prompt")
"""Endings of files that are one photo's caption and nothing else, the first with a text wins."""

MAX_CAPTION_BYTES = 2**20
"""Files of captions of one photo are read so far: no caption is longer."""

WRONG_BYTES = "\ufffd"
"""Stands in a caption where its bytes could not be decoded; the gate refuses such a caption."""

_SOMEONES = re.compile(r"(?!other|negative|(has|is|no|n|num)captions?$)\w+captions?")
_DROPPED = ("caption", "text")  # never attributes of a JSON object, whichever is its caption
_SPACES = "\t\n\r\v\f\x85"
_NO_CONTROLS = bytes(byte for byte in range(256) if byte >= 0x20 or byte in b"\t\n\r\v\f")
_FOREIGN = re.compile(
    r"[^\W\d_a-zA-Z]{4}|[^\x00-\x7f]{6}|[^\W\d_][\xa1-\xa6\xac\xaf\xb1-\xb4\xb8\xb9\xbc-\xbf\xd7\xf7][^\W\d_]"
)
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16's mark, with which it begins
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


@lru_cache(4096)
def folded_field(name: str) -> str:
    """A field's name without what does not matter: case, blanks, ``_``, ``-``, a last number."""
    return re.sub(r"[\s_.-]+|[\s_.-]*\d+$", "", name.strip("\ufeff \t").casefold())


_RANKS = {folded_field(name): rank for rank, name in reversed(list(enumerate(CAPTION_FIELDS)))}


def caption_fields(names: Iterable[str]) -> list[str]:
    """Those of some fields' or columns' names that hold captions, the best first."""
    ranked = [(rank, place, name) for place, name in enumerate(names)
              if (rank := _rank(name)) is not None]  # fmt: skip
    return [name for _, _, name in sorted(ranked)]


@lru_cache(4096)
def _rank(name: str) -> int | None:
    folded = folded_field(name)
    if folded in _RANKS:
        return _RANKS[folded]
    return len(_RANKS) if _SOMEONES.fullmatch(folded) else None


def caption_texts(value: object) -> list[str]:
    """The texts that one field gives: a text, a list of texts (or of objects that hold one).

    A text that is itself a JSON or Python list of texts, as csv files have them, is that list.
    Blank texts at its beginning are left out; a field without any other gives them as they are.
    """
    texts = list(_texts(value))
    first = next((place for place, text in enumerate(texts) if text.strip()), 0)
    return texts[first:]


def _texts(value: object, *, depth: int = 2) -> Iterable[str]:
    if isinstance(value, str):
        yield from _listed(value) or [value]
    elif isinstance(value, bytes):
        yield decode_text(value)
    elif isinstance(value, Mapping) and depth > 0:
        fields = {str(name): item for name, item in value.items()}
        for name in caption_fields(fields)[:1]:
            yield from _texts(fields[name], depth=depth - 1)
    elif isinstance(value, Sequence) and depth > 0:
        for item in value:
            yield from _texts(item, depth=depth - 1)


def _listed(text: str) -> list[str] | None:
    stripped = text.strip()
    if stripped[:1] != "[" or stripped[-1:] != "]" or stripped[1:].lstrip()[:1] not in ("'", '"'):
        return None
    for parse in (json.loads, ast.literal_eval):
        try:
            found = parse(stripped)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        if isinstance(found, list) and all(isinstance(item, str) for item in found):
            return found
    return None


def split_caption(
    fields: Mapping[str, object], *, dropped: Sequence[str] = _DROPPED
) -> tuple[str | None, dict[str, object]]:
    """The caption of a JSON object or table row, and everything else as attributes.

    Further texts of its field are ``other_captions`` among the attributes. A field that is blank
    or holds no text leaves the caption to the next of the table; ``dropped`` ones never are
    attributes.
    """
    named = {str(name): value for name, value in fields.items()}
    blank: tuple[str, str] | None = None
    for name in caption_fields(named):
        texts = caption_texts(named[name])
        if texts and texts[0].strip():
            rest = {k: v for k, v in named.items() if k != name and k not in dropped}
            return texts[0], rest | ({"other_captions": texts[1:]} if texts[1:] else {})
        if texts and blank is None:
            blank = (name, texts[0])
    rest = {k: v for k, v in named.items() if k not in dropped and (not blank or k != blank[0])}
    return (blank[1] if blank else None), rest


def has_words(text: str) -> bool:
    """Whether a text is more of words than of numbers, which boxes and classes are."""
    tokens = re.split(r"[\s,;:]+", text)
    n_words = sum(any(map(str.isalpha, token)) for token in tokens)
    return n_words > 0 and 2 * n_words >= len(list(filter(None, tokens)))


def decode_text(data: bytes) -> str:
    """A caption file's text: UTF-8 or UTF-16, with or without mark, else Windows-1252.

    What is none of them has :data:`WRONG_BYTES` in it, so that the gate refuses it as
    ``bad_caption``: a guess among further code pages would be trained on as letter salad.
    """
    if data.isascii() and not data.translate(None, _NO_CONTROLS):
        return data.decode("ascii")
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding, errors="replace")
    encoding = unmarked_encoding(data)
    return data.decode(encoding or "utf-8", errors="replace")


def unmarked_encoding(data: bytes) -> str | None:
    """The encoding of bytes without a mark; None where it is none of those that are known."""
    wide = _wide_encoding(data)
    if wide is not None:
        return wide
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        if _is_windows_1252(data):
            return "cp1252"
        return "utf-16-le" if _is_wide_cjk(data) else None
    return "utf-8"


def text_encoding(head: bytes) -> str | None:
    """The encoding that the beginning of a large file shows: a mark's, or UTF-16's zero bytes.

    None: lines are UTF-8 or Windows-1252, each by itself (:func:`decode_text`). The encoding
    swallows the mark.
    """
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return "utf-8-sig" if encoding == "utf-8" else encoding[:6]
    return _wide_encoding(head[: len(head) // 2 * 2])


def _wide_encoding(data: bytes) -> str | None:
    """UTF-16 shows by its high bytes: block numbers below 0x20 on every other place."""
    if len(data) < 4 or len(data) % 2 or not data.translate(None, _NO_CONTROLS):
        return None
    # Blocks 9, 10 and 13 are tabs and line ends too; text of such letters has blanks with zeros.
    line_ends = b"" if b"\0" in data else b"\t\n\r\v\f"
    for high, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        blocks, low = data[high::2], data[1 - high :: 2]
        n_blocks = sum(byte < 0x20 and byte not in line_ends for byte in blocks)
        n_low = sum(byte < 0x20 and byte not in b"\t\n\r" for byte in low)
        if n_blocks >= 0.7 * len(blocks) and n_low <= 0.3 * len(low):
            text = data.decode(encoding, errors="replace")
            if WRONG_BYTES not in text and not _has_strange(text):
                return encoding
    return None


def _has_strange(text: str) -> bool:
    """Whether characters are in it that no caption has: controls, unassigned, private."""
    categories = ((unicodedata.category(c), c) for c in text)
    return any(
        kind in ("Cn", "Co") or (kind == "Cc" and c not in _SPACES) for kind, c in categories
    )


def _is_windows_1252(data: bytes) -> bool:
    """Western letters: neither four with accents in a row nor signs between letters.

    Else the file is of another code page, of which there are too many to guess.
    """
    try:
        text = data.decode("cp1252")
    except UnicodeDecodeError:
        return False
    ascii_share = sum(c.isascii() for c in text) / len(text)
    return ascii_share >= 0.3 and not _has_strange(text) and _FOREIGN.search(text) is None


def _is_wide_cjk(data: bytes) -> bool:
    """Chinese, Japanese or Korean as UTF-16 without a mark.

    Text of their own code pages, read so, is a mixture of blocks that no language has.
    """
    try:
        text = data.decode("utf-16-le")
    except UnicodeDecodeError:
        return False
    han = re.fullmatch(r"[\x20-\x7e\s\u2010-\u203a\u3000-\u30ff\u4e00-\u9fff\uff00-\uff9f]+", text)
    hangul = re.fullmatch(r"[\x20-\x7e\s\uac00-\ud7a3]+", text)
    return han is not None or (hangul is not None and any(c.isascii() for c in text))
