"""A sample as bytes: rounding, the mask's PNG, and bytes that are none."""

import dataclasses
import json

import numpy as np
import pytest

from storage.codec import (
    MEMBER_SUFFIXES,
    decode_sample,
    encode_sample,
    sample_facts,
    sample_row,
    sample_schema,
)
from storage.errors import ShardError


@pytest.fixture
def sample(make_unit_of, make_sample):
    return make_sample(make_unit_of(1).records[0])


def test_members_stand_in_their_order(sample):
    assert tuple(encode_sample(sample)) == MEMBER_SUFFIXES


def test_decoding_twice_changes_nothing(sample):
    members = encode_sample(sample)
    back = decode_sample(members, where="here")
    assert encode_sample(back) == members
    assert back.people[0].bbox_xyxy_px == (1.0, 1.0, 5.5, 4.25)
    assert back.people[0].score == 0.8765
    assert np.array_equal(back.mask, sample.mask)


def test_a_caption_is_one_line_in_its_text_but_itself_in_its_facts(sample):
    two = dataclasses.replace(sample, caption="a man\nruns")
    members = encode_sample(two)
    assert members["txt"] == b"a man runs"
    assert decode_sample(members, where="here").caption == "a man\nruns"


def test_minus_zero_is_zero(sample):
    person = dataclasses.replace(sample.people[0], bbox_xyxy_px=(-0.001, 0.0, 1.0, 1.0))
    facts = sample_facts(dataclasses.replace(sample, people=(person,)))
    assert str(facts["people"][0]["bbox_xyxy_px"][0]) == "0.0"


def test_all_people_of_a_mask_keep_their_numbers(sample):
    mask = np.arange(256, dtype=np.uint8).reshape(8, 32)
    people = (sample.people[0],) * 255
    crowd = dataclasses.replace(sample, width_px=32, height_px=8, mask=mask, people=people)
    back = decode_sample(encode_sample(crowd), where="here")
    assert np.array_equal(back.mask, mask)
    one_more = dataclasses.replace(crowd, people=(sample.people[0],) * 256)
    with pytest.raises(ShardError, match="at most 255"):
        encode_sample(one_more)


@pytest.mark.parametrize(
    ("suffix", "data"),
    [("json", b"{}"), ("json", b"["), ("mask.png", b"PNG"), ("mask.png", None), ("jpg", None)],
)
def test_broken_members_name_the_place(sample, suffix, data):
    members = encode_sample(sample) | {suffix: data}
    if data is None:
        del members[suffix]
    with pytest.raises(ShardError, match="shard 7"):
        decode_sample(members, where="shard 7")


def test_numbers_that_are_none_are_refused(sample):
    person = dataclasses.replace(sample.people[0], score=float("nan"))
    with pytest.raises(ShardError, match=sample.uri):
        encode_sample(dataclasses.replace(sample, people=(person,)))


def test_a_row_has_the_columns_of_the_schema(sample):
    row = sample_row(sample)
    assert set(row) == set(sample_schema().names)
    assert json.loads(row["attributes"]) == sample.attributes
    assert row["caption_chars"] == len(sample.caption)
