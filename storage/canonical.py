"""One spelling of keys, URIs and JSON, so that every digest depends on content alone."""

import hashlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from urllib.parse import quote, unquote_to_bytes

MAX_ATTRIBUTE_DEPTH = 8


def key_of(uri: str) -> str:
    """16 hex digits that name a source record (BLAKE2b of its encoded URI)."""
    return hashlib.blake2b(uri.encode(), digest_size=8).hexdigest()


def encode_path(path: str) -> str:
    """Percent-encode a relative POSIX path; names that are not UTF-8 keep their bytes."""
    return quote(os.fsencode(path), safe="/")


def decode_path(encoded: str) -> str:
    """The relative path that :func:`encode_path` was given."""
    return os.fsdecode(unquote_to_bytes(encoded))


def canonical_json(value: object) -> str:
    """Sorted keys, no NaN, no escapes of letters: equal values give equal text.

    Raises:
        ValueError: the value holds NaN or infinity.
        TypeError: the value is not plain JSON.
    """
    return json.dumps(
        value, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":")
    )


def plain_json(value: object, *, depth: int = MAX_ATTRIBUTE_DEPTH) -> object:
    """A copy that :func:`canonical_json` accepts: NaN becomes None, unknown types their text."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return valid_text(value)
    if depth > 0 and isinstance(value, Mapping):
        return {valid_text(str(k)): plain_json(v, depth=depth - 1) for k, v in value.items()}
    if depth > 0 and isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [plain_json(item, depth=depth - 1) for item in value]
    return valid_text(str(value))


def valid_text(text: str) -> str:
    """The text with lone surrogates replaced: what is left can be written as UTF-8."""
    return text.encode("utf-8", errors="replace").decode("utf-8")


def digest_of(value: object, *, hex_digits: int = 32) -> str:
    """Hex digest of a plain JSON value."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:hex_digits]
