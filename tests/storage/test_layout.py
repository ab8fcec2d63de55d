"""A root is one value, the same wherever it is sent."""

import os
import pickle
from pathlib import Path

import pytest

from storage.errors import HcpError
from storage.layout import Root

UNIT = "ab" * 16


def test_one_spelling_per_root(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    spellings = ["data", "./data/", "~/data", Path("data"), f"file://{tmp_path}/data", Root("data")]
    assert {Root.of(place) for place in spellings} == {Root(f"{tmp_path}/data")}
    assert str(Root.of("s3://bucket/data/")) == "s3://bucket/data"


def test_a_relative_root_means_the_same_folder_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sent = pickle.dumps(Root.of("data"))
    (tmp_path / "elsewhere").mkdir()
    os.chdir(tmp_path / "elsewhere")
    assert pickle.loads(sent) == Root(f"{tmp_path}/data")


@pytest.mark.parametrize("empty", ["", " "])
def test_an_empty_root_is_refused(empty):
    with pytest.raises(HcpError, match="must be a path or a URL"):
        Root.of(empty)


def test_places_are_those_that_older_data_sets_have():
    root = Root("s3://b/data/")
    assert root.shard(UNIT, "rejects.parquet") == f"s3://b/data/shards/{UNIT}.rejects.parquet"
    assert root.version("1f") == "s3://b/data/versions/1f.json"
    assert root.latest == "s3://b/data/versions/LATEST"
    assert root.plan("2e") == "s3://b/data/plans/2e.parquet"
    assert root.settings == "s3://b/data/runs/rebuild-params.json"
    assert root.retry_note(UNIT) == f"s3://b/data/retries/{UNIT}.json"
    assert root.cached("3f", "cache.json") == "s3://b/data/caches/3f/cache.json"
    assert root.retry_work("2e") == Root("s3://b/data/retries/work-2e")
