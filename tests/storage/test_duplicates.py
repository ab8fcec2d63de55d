"""Repeated photos; how versions leave them out is in test_versions."""

import dataclasses

from storage.duplicates import duplicate_keys
from storage.layout import Root
from storage.shards import commit_unit


def test_the_first_of_each_photo_stays_and_the_two_ways_differ(tmp_path, make_unit_of, make_sample):
    names, keys = [], []
    for name in ("a", "b"):
        unit = make_unit_of(3, name)
        first, second, third = (make_sample(r, i) for i, r in enumerate(unit.records))
        if name == "b":  # the same picture in other bytes, the same bytes, a new photo
            first = dataclasses.replace(first, sha256="f" * 64)
            third = dataclasses.replace(third, sha256="e" * 64, phash="e" * 16)
        commit_unit(Root.of(tmp_path), unit, outcomes=[first, second, third])
        names.append(unit.fingerprint)
        keys.append([record.key for record in unit.records])
    assert duplicate_keys(Root.of(tmp_path), names) == [keys[1][1]]
    assert duplicate_keys(Root.of(tmp_path), names, by="phash") == keys[1][:2]
    assert duplicate_keys(Root.of(tmp_path), names[::-1]) == [keys[0][1]]
    assert duplicate_keys(Root.of(tmp_path), names[:1]) == []
    assert duplicate_keys(Root.of(tmp_path), []) == []
