"""Caches on disk: whole or not there, of the shards that are there, known to gc and verify."""

import json
from pathlib import Path

import pytest

from storage.caches import (
    BAD,
    Cache,
    CachedTar,
    cached_fingerprints,
    commit_cached,
    is_cached,
    list_caches,
    read_card,
)
from storage.errors import CacheError, ShardError
from storage.gc import collect_garbage
from storage.layout import Root
from storage.locations import exists, files_below
from storage.shard_reader import iter_samples
from storage.verify import verify_root
from storage.versions import publish_version


def members(root, fingerprint):
    """Two members of every sample; the third sample is bad."""
    for i, sample in enumerate(iter_samples(root, fingerprint)):
        good = {"json": sample.key.encode(), "0.safetensors": bytes(range(i + 1))}
        yield sample.key, good if i != 2 else {BAD: json.dumps({"reason": "broken"}).encode()}


def make(root, names, **settings):
    cache = Cache(root=Root.of(root), settings={"base": "a"} | settings, facts={"base": "tiny"})
    return cache, [commit_cached(cache, name, members(cache.root, name)) for name in names]


@pytest.mark.parametrize("place", ["local", "memory"])
def test_members_come_back_and_a_bad_sample_says_why(place, tmp_path, fill_root):
    root = tmp_path if place == "local" else f"memory://cache-{tmp_path.name}"
    (name,) = fill_root(root, 1)
    cache, (info,) = make(root, [name])
    keys = tuple(sample.key for sample in iter_samples(cache.root, name))
    tar = CachedTar(cache, name)
    assert tar.list_keys() == keys
    assert tar.read(keys[4], "0.safetensors") == bytes(range(5))
    assert tar.suffixes(keys[4]) == ("json", "0.safetensors")
    with pytest.raises(ShardError, match=f"{keys[2]}: it could not be encoded: broken"):
        tar.read(keys[2], "json")
    assert info.bad == {keys[2]: "broken"}
    assert is_cached(cache, name)
    assert read_card(cache.root, cache.digest) == cache
    assert list_caches(cache.root) == [cache.digest]
    assert cached_fingerprints(cache) == {name}


def test_equal_samples_give_equal_bytes_and_no_temporary_file_stays(tmp_path, fill_root):
    found = []
    for folder in ("a", "b"):
        names = fill_root(tmp_path / folder, 2)
        make(tmp_path / folder, names)
        start = tmp_path / folder / "caches"
        found.append(
            {p.relative_to(start): p.read_bytes() for p in start.rglob("*") if p.is_file()}
        )
    assert found[0] == found[1]
    assert len(found[0]) == 5


def test_half_a_shard_is_none(tmp_path, fill_root):
    (name,) = fill_root(tmp_path, 1)
    cache = Cache(root=Root.of(tmp_path), settings={})
    with pytest.raises(CacheError, match="expected 9 samples, got 4"):
        commit_cached(cache, name, list(members(cache.root, name))[:4])
    assert not is_cached(cache, name)
    assert cached_fingerprints(cache) == set()
    assert files_below(cache.root.caches) == [cache.file("cache.json")]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda tar, marker: tar.unlink(), "cannot be read"),
        (lambda tar, marker: marker.unlink(), "is not in cache"),
        (lambda tar, marker: tar.write_bytes(tar.read_bytes()[:700]), "700 found"),
        (lambda tar, marker: marker.write_text("{}"), "not a cached shard's marker"),
        (
            lambda tar, marker: marker.write_text(
                json.dumps(json.loads(marker.read_text()) | {"source": "0"})
            ),
            "was made of another shard",
        ),
    ],
)
def test_what_is_not_as_it_was_written_is_refused(change, said, tmp_path, fill_root):
    (name,) = fill_root(tmp_path, 1)
    cache, _ = make(tmp_path, [name])
    files = Path(cache.file(f"{name}.tar")), Path(cache.file(f"{name}.json"))
    change(*files)
    with pytest.raises(ShardError, match=said):
        CachedTar(cache, name)
    assert not is_cached(cache, name)


def test_a_card_that_does_not_give_its_name_is_refused(tmp_path, fill_root):
    cache, _ = make(tmp_path, fill_root(tmp_path, 1))
    path = Path(cache.file("cache.json"))
    path.write_text(path.read_text().replace('"base": "a"', '"base": "b"'))
    with pytest.raises(CacheError, match="not the card of cache"):
        read_card(cache.root, cache.digest)
    with pytest.raises(CacheError, match="there is no cache 0123"):
        read_card(cache.root, "0123")
    assert any("not the card" in problem for problem in verify_root(tmp_path))


@pytest.mark.parametrize("place", ["local", "memory"])
def test_gc_keeps_what_versions_name(place, tmp_path, fill_root):
    root = tmp_path if place == "local" else f"memory://cache-{tmp_path.name}"
    names = fill_root(root, 3)
    publish_version(root, names[:2], config={})
    cache, _ = make(root, names)
    other, _ = make(root, names[2:], base="b")
    gone = [cache.file(f"{names[2]}.{suffix}") for suffix in ("json", "tar")]
    gone += [other.file(name) for name in (f"{names[2]}.json", f"{names[2]}.tar", "cache.json")]
    planned = collect_garbage(root, dry_run=True)
    assert sorted(uri for uri in planned if "/caches/" in uri) == sorted(gone)
    assert collect_garbage(root, dry_run=False) == planned
    assert not any(exists(uri) for uri in gone)
    assert cached_fingerprints(cache) == set(names[:2])
    assert list_caches(cache.root) == [cache.digest]
    assert verify_root(root) == []
    assert collect_garbage(root, dry_run=False) == []


def test_verify_reads_every_byte(tmp_path, fill_root):
    names = fill_root(tmp_path, 2)
    publish_version(tmp_path, names, config={})
    cache, _ = make(tmp_path, names)
    assert verify_root(tmp_path) == []
    path = Path(cache.file(f"{names[1]}.tar"))
    blob = bytearray(path.read_bytes())
    blob[600] ^= 1
    path.write_bytes(blob)
    (problem,) = verify_root(tmp_path)
    assert f"cache {cache.digest}" in problem
    assert names[1] in problem
    assert "sha256" in problem
