"""A version's statistics, on tables by hand."""

import pyarrow as pa
import pyarrow.dataset as ds

from storage.statistics import ShardCount, summarise


def _shard(rows: list[dict]) -> ds.Dataset:
    default = {
        "sha256": "", "width_px": 100, "height_px": 100, "n_people_passing": 1,
        "caption_chars": 10, "split": "train",
    }  # fmt: skip
    return ds.dataset(pa.Table.from_pylist([default | {"sha256": r["key"]} | r for r in rows]))


def test_counts_bins_and_duplicates():
    shards = [
        _shard(
            [
                {"key": "a", "width_px": 255, "n_people_passing": 2, "caption_chars": 49},
                {"key": "b", "height_px": 256, "caption_chars": 50, "split": "val"},
                {"key": "c", "width_px": 1030, "height_px": 900, "caption_chars": 149},
            ]
        ),
        _shard([{"key": "d", "sha256": "a"}, {"key": "e", "sha256": "a"}]),
    ]
    counts, statistics = summarise(shards, frozenset())
    assert counts == [ShardCount(train=2, val=1), ShardCount(train=2, val=0)]
    assert statistics == {
        "n_train": 4,
        "n_val": 1,
        "n_excluded": 0,
        "people_per_image": {"1": 4, "2": 1},
        "longer_side_px": {"0": 3, "256": 1, "1024": 1},
        "caption_chars": {"0": 3, "50": 1, "100": 1},
        "exact_duplicates": 2,
    }


def test_what_is_excluded_is_counted_as_a_duplicate_only():
    shards = [_shard([{"key": "a"}, {"key": "b", "sha256": "a", "n_people_passing": 5}])]
    counts, statistics = summarise(shards, frozenset({"b"}))
    assert counts == [ShardCount(train=1, val=0)]
    assert statistics["people_per_image"] == {"1": 1}
    assert (statistics["n_excluded"], statistics["exact_duplicates"]) == (1, 1)


def test_nothing_at_all():
    counts, statistics = summarise([], frozenset())
    assert counts == []
    assert statistics["longer_side_px"] == {}
    assert statistics["n_train"] == statistics["exact_duplicates"] == 0
