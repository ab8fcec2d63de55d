"""Shards at will: a few open at a time, fetched once, tried again where a store may recover."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fsspec
import pytest

from storage import shard_cache
from storage.errors import ShardError
from storage.layout import Root
from storage.shard_cache import OpenShard, ShardCache
from storage.shard_reader import iter_samples

FillRoot = Callable[..., list[str]]


def open_tars(folder: Path) -> list[str]:
    """Tars of a folder that this process holds open."""
    links = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if fd_is(fd)]
    return [link for link in links if link.startswith(str(folder)) and ".tar" in link]


def fd_is(fd: str) -> bool:
    return os.path.lexists(f"/proc/self/fd/{fd}")


def test_every_sample_can_be_read_in_any_order(tmp_path: Path, fill_root: FillRoot) -> None:
    (name,) = fill_root(str(tmp_path), 1)
    expected = {s.key: s for s in iter_samples(Root.of(tmp_path), name)}
    shard = OpenShard(Root.of(tmp_path), name)
    assert list(shard.list_keys()) == list(expected)
    with ThreadPoolExecutor(4) as pool:
        read = list(pool.map(shard.sample, reversed(shard.list_keys())))
    for sample in read:
        assert sample.image_jpeg == expected[sample.key].image_jpeg
        assert (sample.mask == expected[sample.key].mask).all()
    with pytest.raises(ShardError, match=f"{name}.tar sample nobody"):
        shard.sample("nobody")


def test_only_a_few_shards_are_open(tmp_path: Path, fill_root: FillRoot) -> None:
    names = fill_root(str(tmp_path), 5)
    cache = ShardCache(Root.of(tmp_path), limit=2)
    for name in names * 2:
        assert cache[name].list_keys()
        assert len(open_tars(tmp_path)) <= 2
    del cache
    assert open_tars(tmp_path) == []


@pytest.fixture
def counted_gets(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The objects fetched from the store in memory."""
    seen: list[str] = []
    store: Any = fsspec.filesystem("memory")
    get = type(store).get_file

    def counted(self: Any, path: str, *args: Any, **options: Any) -> None:
        seen.append(path)
        if seen.count(path) <= FAILS.get("times", 0):
            raise ConnectionError("the store is away")
        get(self, path, *args, **options)

    monkeypatch.setattr(type(store), "get_file", counted)
    monkeypatch.setattr(shard_cache, "_WAIT_S", 0.001)
    monkeypatch.setitem(FAILS, "times", 0)
    return seen


FAILS: dict[str, int] = {}


def test_an_object_is_fetched_once_and_leaves_no_file(
    tmp_path: Path, fill_root: FillRoot, counted_gets: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = Root.of(f"memory://cache-{tmp_path.name}")
    (name,) = fill_root(root.uri, 1)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    cache = ShardCache(root)
    keys = cache[name].list_keys()
    with ThreadPoolExecutor(4) as pool:
        assert [s.key for s in pool.map(lambda key: cache[name].sample(key), keys)] == list(keys)
    assert len(counted_gets) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("times", "works"), [(1, True), (2, True), (3, False)])
def test_a_store_that_fails_is_asked_again(
    tmp_path: Path, fill_root: FillRoot, counted_gets: list[str], times: int, works: bool
) -> None:
    root = Root.of(f"memory://fails-{tmp_path.name}")
    (name,) = fill_root(root.uri, 1)
    FAILS["times"] = times
    cache = ShardCache(root)
    if works:
        assert cache[name].list_keys()
    else:
        for _ in range(2):  # the second time it is remembered
            with pytest.raises(ShardError, match="ConnectionError: the store is away"):
                cache[name]
    assert len(counted_gets) == min(times + 1, 3)


def test_a_missing_object_is_not_waited_for(
    tmp_path: Path, counted_gets: list[str], fill_root: FillRoot
) -> None:
    root = Root.of(f"memory://missing-{tmp_path.name}")
    fill_root(root.uri, 1)
    with pytest.raises(ShardError, match=r"nosuch\.tar cannot be read"):
        ShardCache(root)["nosuch"]
    assert len(counted_gets) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_named(tmp_path: Path, fill_root: FillRoot) -> None:
    (name,) = fill_root(str(tmp_path), 1)
    Path(Root.of(tmp_path).shard(name, "tar")).chmod(0)
    with pytest.raises(ShardError, match="Permission denied"):
        ShardCache(Root.of(tmp_path))[name]
