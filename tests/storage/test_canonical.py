"""One spelling of keys, paths and JSON."""

import hashlib
import json
import os

import numpy as np
import pytest

from storage.canonical import (
    canonical_json,
    decode_path,
    digest_of,
    encode_path,
    key_of,
    plain_json,
    valid_text,
)


@pytest.mark.parametrize("path", ["a/b c.jpg", "ü#1?.jpg", "100%.jpg", os.fsdecode(b"x\xe9.jpg")])
def test_paths_round_trip_as_ascii(path):
    encoded = encode_path(path)
    assert encoded.isascii()
    assert not set(encoded) & set(" #?")
    assert encoded.count("/") == path.count("/")
    assert decode_path(encoded) == path


def test_keys_are_fixed_for_ever():
    assert key_of("a.jpg") == hashlib.blake2b(b"a.jpg", digest_size=8).hexdigest()
    assert len(key_of("a.jpg")) == 16
    assert key_of("a.jpg") != key_of("b.jpg")


def test_equal_values_give_equal_text():
    assert canonical_json({"b": 1, "a": ["ü", 1.5]}) == '{"a":["ü",1.5],"b":1}'
    assert digest_of({"b": 1, "a": 2}) == digest_of({"a": 2, "b": 1})
    assert digest_of([1, 2]) != digest_of([2, 1])
    assert digest_of({}) == hashlib.sha256(b"{}").hexdigest()[:32]
    assert len(digest_of({}, hex_digits=12)) == 12


@pytest.mark.parametrize(
    ("value", "error"), [(float("nan"), ValueError), (b"bytes", TypeError), ({1, 2}, TypeError)]
)
def test_what_is_not_plain_json_is_refused(value, error):
    with pytest.raises(error):
        canonical_json(value)
    json.loads(canonical_json(plain_json(value)))


def test_plain_json_keeps_what_it_can():
    value = {1: (1, 2.5, True, None), "text": "a\ud800", "n": np.int64(3), "inf": float("-inf")}
    assert plain_json(value) == {"1": [1, 2.5, True, None], "text": "a?", "n": "3", "inf": None}
    deep: object = "leaf"
    for _ in range(100):
        deep = [deep]
    canonical_json(plain_json(deep))


def test_lone_surrogates_can_be_written_afterwards():
    assert valid_text("\ud800 é 😀") == "? é 😀"
