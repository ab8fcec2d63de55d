"""Sources, shards and versions on a real S3 endpoint (moto's server, over HTTP)."""

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from priors.extract import run_units_inline
from priors.reports import UnitReport
from storage.gc import collect_garbage
from storage.layout import DATA_SUFFIXES, MARKER_SUFFIX, Root
from storage.locations import names_in
from storage.markers import committed
from storage.plan import PlanConfig, plan_units, write_plan
from storage.records import Reject
from storage.runlog import RunLog
from storage.shard_reader import iter_samples, read_rejects
from storage.shards import commit_unit
from storage.sources import resolve_source
from storage.verify import verify_root
from storage.versions import DatasetVersion, open_version, publish_version
from tests.hostile import CAPTION, encoded, lenient_extractor, picture, write_parquet
from tests.s3_server import bucket_at, serve_s3

s3fs: Any = pytest.importorskip("s3fs", reason="s3fs is not installed: pip install -e '.[s3]'")
pytest.importorskip("moto.server", reason="moto[server] is not installed")


@pytest.fixture(scope="module")
def store() -> Iterator[Any]:
    """A bucket ``hcp``."""
    with serve_s3() as url, bucket_at(url, "hcp") as store:
        yield store


def rebuilt(source_uri: str, place: str, *, kind: str = "auto") -> tuple[DatasetVersion, int]:
    """The version, and how many units were computed for it."""
    source = resolve_source(source_uri, format=kind)  # pyright: ignore[reportArgumentType]
    units = list(plan_units(source.records(), config=PlanConfig(unit_size=6), salt="test"))
    root = Root.of(place)
    write_plan(root, units)
    todo = [unit for unit in units if unit.fingerprint not in committed(root)]
    reports: list[UnitReport] = []
    with RunLog(root, "rebuild") as log:
        run_units_inline(
            todo,
            make_extractor=lambda: lenient_extractor(source, root),
            on_report=reports.append,
        )
        log.append("run", units=len(reports))
    return publish_version(root, [unit.fingerprint for unit in units], config={}), len(reports)


def put_photos(store: Any, folder: str, n: int) -> None:
    for i in range(n):
        store.pipe_file(f"{folder}/{i:03}.jpg", encoded(picture(i)))
        store.pipe_file(f"{folder}/{i:03}.txt", CAPTION.encode())


@pytest.mark.slow
def test_a_folder_on_s3_is_rebuilt_incrementally(store: Any) -> None:
    put_photos(store, "hcp/photos", 30)
    store.pipe_file("hcp/photos/deep/er/broken.jpg", b"no photo")
    root = "s3://hcp/data"
    first, n_units = rebuilt("s3://hcp/photos", root)
    assert n_units == len(first.shards) > 3
    assert (first.n_samples, dict(first.rejects_by_reason)) == (30, {"unreadable": 1})
    assert verify_root(root) == []
    assert first.samples.count_rows() == 30
    assert len(list(open_version(root).iter_samples())) == 30
    assert rebuilt("s3://hcp/photos", root) == (first, 0)
    store.pipe_file("hcp/photos/007.jpg", encoded(picture(99)))
    second, n_units = rebuilt("s3://hcp/photos", root)
    assert n_units == 1
    assert len(set(first.shards) & set(second.shards)) == len(first.shards) - 1
    assert len(store.ls("hcp/data/runs")) == 3  # each run has a log of its own
    assert not [name for name in store.find("hcp/data") if ".tmp-" in name]
    store.rm_file(f"hcp/data/versions/{first.id}.json")
    store.invalidate_cache()
    assert len(collect_garbage(root, dry_run=False)) == 4  # the one shard that nobody names
    assert verify_root(root) == []


def test_what_another_process_committed_since_the_last_listing_is_read(
    store: Any, tmp_path: Path, make_unit_of: Any, make_sample: Any
) -> None:
    here, remote = Root.of(tmp_path), Root("s3://hcp/other")
    units = [make_unit_of(3, name) for name in "ab"]
    for unit in units:
        outcomes = [make_sample(record) for record in unit.records[1:]]
        first = unit.records[0]
        outcomes.append(Reject(key=first.key, uri=first.uri, reason="no_person", detail=""))
        commit_unit(here, unit, outcomes=outcomes)
    elsewhere = s3fs.S3FileSystem(skip_instance_cache=True)
    for unit in units:
        for suffix in (*DATA_SUFFIXES, MARKER_SUFFIX):
            name = here.shard(unit.fingerprint, suffix)
            elsewhere.put_file(name, remote.shard(unit.fingerprint, suffix))
        if unit is units[0]:
            assert len(names_in(remote.shards)) == 4
    new = units[1].fingerprint
    assert len(read_rejects(remote, new)) == 1
    names_in(remote.shards)
    store.dircache["hcp/other/shards"] = []  # as if listed before it was written
    assert len(list(iter_samples(remote, new))) == 2


def test_shards_on_s3_equal_local_ones(store: Any, tmp_path: Path) -> None:
    put_photos(store, "hcp/few", 5)
    store.get("hcp/few", str(tmp_path / "few"), recursive=True)
    remote, _ = rebuilt("s3://hcp/few", "s3://hcp/few-data")
    local, _ = rebuilt("s3://hcp/few", str(tmp_path / "data"))
    assert remote.id == local.id
    for path in sorted((tmp_path / "data" / "shards").iterdir()):
        assert store.cat_file(f"hcp/few-data/shards/{path.name}") == path.read_bytes()
    for ours, theirs in zip(remote.iter_samples(), local.iter_samples(), strict=True):
        np.testing.assert_array_equal(ours.mask, theirs.mask)


def test_tars_and_tables_on_s3(store: Any, tmp_path: Path) -> None:
    for number in range(2):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for i in range(4):
                for suffix, data in (("jpg", encoded(picture(i))), ("txt", CAPTION.encode())):
                    member = tarfile.TarInfo(f"{number}{i:04}.{suffix}")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
        store.pipe_file(f"hcp/tars/{number:05}.tar", buffer.getvalue())
    version, _ = rebuilt("s3://hcp/tars", "s3://hcp/tars-data")
    assert (version.n_samples, version.n_rejects) == (8, 0)
    ends = write_parquet(tmp_path / "table")
    store.put_file(str(tmp_path / "table" / "rows.parquet"), "hcp/table/rows.parquet")
    version, _ = rebuilt("s3://hcp/table", "s3://hcp/table-data")
    assert version.n_samples + version.n_rejects == len(ends)
    assert version.n_samples == list(ends.values()).count("sample")
