"""Committed shards, read from their start to their end."""

import pytest

from storage.errors import ShardError
from storage.layout import Root
from storage.shard_reader import iter_samples
from storage.shards import commit_unit


@pytest.mark.parametrize("keep", [0, 700, 2048])
def test_a_cut_off_tar_is_an_error_that_names_it(tmp_path, make_unit_of, make_sample, keep):
    unit = make_unit_of(2)
    samples = [make_sample(record) for record in unit.records]
    commit_unit(Root.of(tmp_path), unit, outcomes=samples)
    tar = tmp_path / f"shards/{unit.fingerprint}.tar"
    tar.write_bytes(tar.read_bytes()[:keep])
    with pytest.raises(ShardError, match=unit.fingerprint):
        list(iter_samples(Root.of(tmp_path), unit.fingerprint))
