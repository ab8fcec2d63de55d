"""Dataset versions: ids from content, statistics, exclusions, reading."""

import json
import pickle
from dataclasses import replace

import pytest

from storage.codec import split_of
from storage.duplicates import duplicate_keys
from storage.errors import VersionError
from storage.gc import collect_garbage
from storage.layout import Root
from storage.shards import commit_unit
from storage.verify import verify_root
from storage.versions import list_versions, open_version, publish_version


def test_a_version_counts_and_reads_its_shards(tmp_path, fill_root):
    names = fill_root(str(tmp_path))
    version = publish_version(str(tmp_path), names, config={"pose_model": "x"})
    assert version == open_version(str(tmp_path)) == open_version(str(tmp_path), version.id)
    assert version.shards == tuple(names)
    assert (version.n_samples, version.n_rejects) == (27, 3)
    assert version.rejects_by_reason == {"no_person": 3}
    assert version.samples.count_rows() == 27
    assert version.rejects.to_table().column("reason").to_pylist() == ["no_person"] * 3
    keys = [sample.key for sample in version.iter_samples()]
    assert keys == version.samples.to_table(columns=["key"]).column("key").to_pylist()
    by_split = [[s.key for s in version.iter_samples(split)] for split in ("train", "val")]
    assert by_split == [[k for k in keys if split_of(k) == s] for s in ("train", "val")]
    assert pickle.loads(pickle.dumps(version)) == version


def test_statistics(tmp_path, fill_root):
    version = publish_version(str(tmp_path), fill_root(str(tmp_path)), config={})
    statistics = version.statistics
    assert statistics["people_per_image"] == {"1": 27}
    assert statistics["longer_side_px"] == {"0": 27}
    assert statistics["caption_chars"] == {"0": 27}
    assert statistics["rejects_by_reason"] == {"no_person": 3}
    assert statistics["exact_duplicates"] == 0
    assert statistics["n_train"] + statistics["n_val"] == 27


def test_the_id_is_the_content(tmp_path, fill_root):
    names = fill_root(str(tmp_path / "a"))
    fill_root(str(tmp_path / "b"))
    first = publish_version(str(tmp_path / "a"), names, config={"x": 1})
    again = publish_version(str(tmp_path / "a"), names, config={"x": 1})
    elsewhere = publish_version(str(tmp_path / "b"), names, config={"x": 1})
    other = publish_version(str(tmp_path / "a"), names, config={"x": 2})
    fewer = publish_version(str(tmp_path / "a"), names[:2], config={"x": 1})
    assert first == again
    assert first.id == elsewhere.id
    assert len({first.id, other.id, fewer.id}) == 3
    assert set(list_versions(str(tmp_path / "a"))) == {first.id, other.id, fewer.id}
    assert open_version(str(tmp_path / "a")).id == fewer.id
    assert str(tmp_path) not in (tmp_path / f"a/versions/{first.id}.json").read_text()


def test_duplicates_are_found_and_excluded(tmp_path, make_unit_of, make_sample):
    names: list[str] = []
    for name in ("a", "b"):
        unit = make_unit_of(6, name)
        samples = [make_sample(record, seed) for seed, record in enumerate(unit.records)]
        commit_unit(Root.of(tmp_path), unit, outcomes=samples)
        names.append(unit.fingerprint)
        second = [record.key for record in unit.records]
    repeated = duplicate_keys(Root.of(tmp_path), names)
    assert repeated == duplicate_keys(Root.of(tmp_path), names, by="phash") == second
    whole = publish_version(str(tmp_path), names, config={})
    assert whole.statistics["exact_duplicates"] == 6
    version = publish_version(str(tmp_path), names, config={}, exclusions=repeated)
    assert (version.n_samples, len(list(version.iter_samples()))) == (12, 6)
    assert version.samples.count_rows() == 6
    assert sum(count.train + count.val for count in version.counts) == 6
    assert version.id != whole.id


def test_near_duplicates_are_found_within_their_distance(tmp_path, make_unit_of, make_sample):
    base = 0x0123456789ABCDEF
    hashes = [base, base ^ 1, base ^ (1 << 63 | 1 << 40), base ^ 0b111, base ^ (2**64 - 1), base]
    unit = make_unit_of(len(hashes))
    samples = [
        replace(make_sample(record, seed), phash=f"{value:016x}")
        for seed, (record, value) in enumerate(zip(unit.records, hashes, strict=True))
    ]
    commit_unit(Root.of(tmp_path), unit, outcomes=samples)
    keys = [record.key for record in unit.records]
    for distance, expected in ((0, [5]), (1, [1, 5]), (2, [1, 2, 5]), (3, [1, 2, 3, 5])):
        found = duplicate_keys(
            Root.of(tmp_path), [unit.fingerprint], by="phash", max_distance_bits=distance
        )
        assert found == [keys[i] for i in expected]
    with pytest.raises(ValueError, match="max_distance_bits"):
        duplicate_keys(Root.of(tmp_path), [unit.fingerprint], max_distance_bits=1)


def test_uncommitted_repeated_or_no_shards_are_refused(tmp_path, fill_root):
    names = fill_root(str(tmp_path), 1)
    for wrong in ([*names, "0" * 32], names * 2, []):
        with pytest.raises(VersionError):
            publish_version(str(tmp_path), wrong, config={})
    assert list_versions(str(tmp_path)) == []


def test_missing_and_broken_versions_say_what_is_there(tmp_path, fill_root):
    with pytest.raises(VersionError, match="hcp rebuild"):
        open_version(str(tmp_path))
    version = publish_version(str(tmp_path), fill_root(str(tmp_path), 1), config={})
    for wrong in ("0" * 16, "../LATEST", ""):
        with pytest.raises(VersionError, match=version.id):
            open_version(str(tmp_path), wrong)
    file = tmp_path / f"versions/{version.id}.json"
    fields = json.loads(file.read_text())
    file.write_text(json.dumps(fields | {"n_samples": 1000}))
    with pytest.raises(VersionError, match="changed by hand"):
        open_version(str(tmp_path))
    file.write_text("{")
    with pytest.raises(VersionError, match="not a readable version"):
        open_version(str(tmp_path))


def test_versions_on_an_object_store(tmp_path, fill_root):
    root = f"memory://versions-{tmp_path.name}"
    version = publish_version(root, fill_root(root), config={})
    fill_root(str(tmp_path))
    assert version.id == publish_version(str(tmp_path), version.shards, config={}).id
    assert open_version(root).samples.count_rows() == 27
    assert len(list(version.iter_samples())) == 27


def test_the_models_stand_beside_a_version_and_are_no_part_of_its_id(tmp_path, fill_root):
    names, models = fill_root(str(tmp_path)), {"pose": "ab" * 32, "masks": "cd" * 32}
    before = publish_version(str(tmp_path), names, config={})
    assert before.models == {}
    version = publish_version(str(tmp_path), names, config={}, models=models)
    assert (version.id, version.models) == (before.id, models)
    assert publish_version(str(tmp_path), names, config={}).models == models  # once known, kept
    assert list_versions(str(tmp_path)) == [version.id]
    assert verify_root(str(tmp_path)) == []
    assert collect_garbage(str(tmp_path), dry_run=True) == []


def test_a_broken_list_of_models_is_named(tmp_path, fill_root):
    version = publish_version(str(tmp_path), fill_root(str(tmp_path)), config={}, models={"a": "b"})
    for broken in ("", "[1]", "{"):
        (tmp_path / f"versions/{version.id}.models.json").write_text(broken)
        with pytest.raises(VersionError, match=r"models\.json: not readable"):
            open_version(str(tmp_path))
