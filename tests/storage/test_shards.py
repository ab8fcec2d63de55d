"""Shards: the sums, the bytes, the atomic commit, and reading back."""

import dataclasses
import errno
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fsspec
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from storage.codec import split_of
from storage.errors import ShardError
from storage.layout import Root
from storage.markers import committed, is_committed, read_shard_info
from storage.records import Reject
from storage.shard_reader import iter_samples
from storage.shards import commit_unit
from storage.verify import verify_root


def _rejects(records):
    return [Reject(key=r.key, uri=r.uri, reason="no_person", detail="none found") for r in records]


def _files(root: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((root / "shards").iterdir())
    }


def _rounded(sample):
    people = tuple(
        dataclasses.replace(
            person,
            bbox_xyxy_px=tuple(round(v, 2) for v in person.bbox_xyxy_px),
            score=round(person.score, 4),
            keypoints=tuple(
                (round(x, 2), round(y, 2), round(c, 4)) for x, y, c in person.keypoints
            ),
        )
        for person in sample.people
    )
    return dataclasses.replace(sample, people=people, mask=sample.mask.tobytes())


def test_samples_read_back_with_rounded_numbers(tmp_path, make_unit_of, make_sample):
    unit = make_unit_of(5)
    samples = [make_sample(record, i) for i, record in enumerate(unit.records[:4])]
    info = commit_unit(
        Root.of(tmp_path), unit, outcomes=iter([*_rejects(unit.records[4:]), *samples])
    )
    back = list(iter_samples(Root.of(tmp_path), unit.fingerprint))
    as_read = [dataclasses.replace(sample, mask=sample.mask.tobytes()) for sample in back]
    assert as_read == [_rounded(sample) for sample in samples]
    assert (info.n_samples, info.n_rejects, info.rejects_by_reason) == (4, 1, {"no_person": 1})
    assert read_shard_info(Root.of(tmp_path), unit.fingerprint) == info
    assert committed(Root.of(tmp_path)) == {unit.fingerprint}
    refused = pq.read_table(tmp_path / f"shards/{unit.fingerprint}.rejects.parquet").to_pylist()
    assert refused == [dataclasses.asdict(reject) for reject in _rejects(unit.records[4:])]


def test_members_are_those_of_the_design(tmp_path, make_unit_of, make_sample):
    unit = make_unit_of(1)
    sample = make_sample(unit.records[0])
    commit_unit(Root.of(tmp_path), unit, outcomes=[sample])
    with tarfile.open(tmp_path / f"shards/{unit.fingerprint}.tar") as tar:
        content = {m.name: tar.extractfile(m).read() for m in tar}
        assert {(m.mtime, m.uid, m.gid, m.uname) for m in tar} == {(0, 0, 0, "")}
    stem = sample.key
    assert set(content) == {f"{stem}.{s}" for s in ("jpg", "txt", "json", "mask.png")}
    assert content[f"{stem}.jpg"] == sample.image_jpeg
    assert content[f"{stem}.txt"].decode() == sample.caption
    facts = json.loads(content[f"{stem}.json"])
    assert content[f"{stem}.json"].decode() == json.dumps(
        facts, sort_keys=True, ensure_ascii=False, separators=(",", ":")
    )
    assert set(facts) == {
        "contract", "key", "uri", "sha256", "phash", "width_px", "height_px", "caption",
        "attributes", "people", "human_spans",
    }  # fmt: skip
    assert facts["people"][0]["keypoints"][1] == [1.33, 2.5, 0.1235]
    assert facts["people"][1]["mask_score"] is None
    with Image.open(io.BytesIO(content[f"{stem}.mask.png"])) as mask:
        assert mask.mode == "P"
        assert np.array_equal(np.array(mask), sample.mask)
    (row,) = pq.read_table(tmp_path / f"shards/{unit.fingerprint}.parquet").to_pylist()
    assert json.loads(row.pop("attributes")) == facts.pop("attributes")
    assert {name: row[name] for name in facts} == facts
    assert (row["n_people"], row["n_people_passing"], row["split"]) == (2, 1, split_of(stem))


def test_the_same_unit_gives_the_same_bytes(tmp_path, make_unit_of, make_sample):
    unit = make_unit_of(6)
    samples = [make_sample(record, i) for i, record in enumerate(unit.records[:4])]
    rejects = _rejects(unit.records[4:])
    commit_unit(Root.of(tmp_path / "a"), unit, outcomes=[*samples, *rejects])
    commit_unit(Root.of(tmp_path / "b"), unit, outcomes=iter([*rejects[::-1], *samples]))
    assert _files(tmp_path / "a") == _files(tmp_path / "b")
    assert len(_files(tmp_path / "a")) == 4


def test_plain_webdataset_reads_a_shard(tmp_path, make_unit_of, make_sample):
    import webdataset as wds

    unit = make_unit_of(3)
    samples = [make_sample(record, i) for i, record in enumerate(unit.records)]
    commit_unit(Root.of(tmp_path), unit, outcomes=samples)
    url = str(tmp_path / f"shards/{unit.fingerprint}.tar")
    rows = list(wds.WebDataset(url, shardshuffle=False).decode("rgb8"))
    assert [row["__key__"] for row in rows] == [sample.key for sample in samples]
    assert rows[1]["txt"] == samples[1].caption
    assert rows[1]["json"]["uri"] == samples[1].uri
    assert rows[1]["jpg"].shape == (6, 8, 3)


@pytest.mark.parametrize("kept", [0, 3])
def test_samples_and_rejects_must_sum_to_the_records(tmp_path, make_unit_of, make_sample, kept):
    unit = make_unit_of(4)
    samples = [make_sample(record) for record in unit.records[:kept]]
    with pytest.raises(ShardError, match=r"must be its 4 records.*missing"):
        commit_unit(Root.of(tmp_path), unit, outcomes=samples)
    with pytest.raises(ShardError, match="too many"):
        commit_unit(
            Root.of(tmp_path),
            unit,
            outcomes=_rejects([*unit.records, *unit.records[:1]]),
        )
    assert _files(tmp_path) == {}


def test_foreign_repeated_or_disordered_samples_are_refused(tmp_path, make_unit_of, make_sample):
    unit, other = make_unit_of(3), make_unit_of(1, "other")
    first, second, _ = (make_sample(record) for record in unit.records)
    foreign = make_sample(other.records[0])
    for samples in ([foreign], [first, first], iter([second, first])):
        with pytest.raises(ShardError, match=r"not of this unit|twice or out of"):
            commit_unit(Root.of(tmp_path), unit, outcomes=samples)
    assert _files(tmp_path) == {}


def test_a_sample_that_breaks_the_contract_is_refused(tmp_path, make_unit_of, make_sample):
    unit = make_unit_of(1)
    good = make_sample(unit.records[0])
    bad = [
        dataclasses.replace(good, mask=good.mask.T),
        dataclasses.replace(good, mask=good.mask * 3),
        dataclasses.replace(good, people=()),
        dataclasses.replace(
            good, people=(dataclasses.replace(good.people[0], keypoints=()), good.people[1])
        ),
        dataclasses.replace(
            good, people=(dataclasses.replace(good.people[0], score=float("nan")), good.people[1])
        ),
    ]
    for sample in bad:
        with pytest.raises(ShardError, match=good.key):
            commit_unit(Root.of(tmp_path), unit, outcomes=[sample])
    assert _files(tmp_path) == {}


def test_an_empty_shard_is_a_shard(tmp_path, make_unit_of):
    unit = make_unit_of(2)
    commit_unit(Root.of(tmp_path), unit, outcomes=_rejects(unit.records))
    assert list(iter_samples(Root.of(tmp_path), unit.fingerprint)) == []
    assert is_committed(Root.of(tmp_path), unit.fingerprint)


@pytest.mark.parametrize("broken_call", [1, 2, 3, 4])
@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_a_full_disk_leaves_nothing(
    tmp_path, make_unit_of, make_sample, monkeypatch, function, broken_call
):
    unit = make_unit_of(2)
    samples = [make_sample(record) for record in unit.records]
    owner = os if function == "fsync" else Path
    real, calls = getattr(owner, function), []

    def full(*args):
        calls.append(args)
        if len(calls) == broken_call:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*args)

    monkeypatch.setattr(owner, function, full)
    with pytest.raises(ShardError, match=rf"{unit.fingerprint}.*No space left") as caught:
        commit_unit(Root.of(tmp_path), unit, outcomes=samples)
    assert str(tmp_path) in str(caught.value)
    assert _files(tmp_path) == {}
    monkeypatch.undo()
    commit_unit(Root.of(tmp_path), unit, outcomes=samples)
    assert len(_files(tmp_path)) == 4


def test_a_real_write_error_leaves_nothing(tmp_path):
    program = """
        import resource, sys
        import numpy as np
        from storage.errors import ShardError
        from storage.layout import Root
        from storage.plan import make_unit
        from storage.records import Sample, SourceRecord
        from storage.shards import commit_unit
        record = SourceRecord(key="0" * 16, uri="a.jpg", caption="a", content_tag="")
        sample = Sample(key=record.key, uri="a.jpg", sha256="", phash="", width_px=1, height_px=1,
            caption="a", attributes={}, people=(), human_spans=(), image_jpeg=bytes(10**6),
            mask=np.zeros((1, 1), np.uint8))
        resource.setrlimit(resource.RLIMIT_FSIZE, (10**5, 10**5))
        try:
            unit = make_unit([record], salt="")
            commit_unit(Root(sys.argv[1]), unit, outcomes=[sample])
        except ShardError as error:
            print("refused:", error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(tmp_path)],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert "refused: cannot write shard" in done.stdout
    assert _files(tmp_path) == {}


def test_an_interrupt_leaves_nothing_and_is_not_hidden(tmp_path, make_unit_of, make_sample):
    unit = make_unit_of(2)

    def interrupted():
        yield make_sample(unit.records[0])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        commit_unit(Root.of(tmp_path), unit, outcomes=interrupted())
    assert _files(tmp_path) == {}


def test_committing_again_keeps_a_whole_shard_and_heals_a_broken_one(
    tmp_path, make_unit_of, make_sample
):
    unit = make_unit_of(2)
    samples = [make_sample(record) for record in unit.records]
    commit_unit(Root.of(tmp_path), unit, outcomes=samples)
    before = _files(tmp_path)
    marker = tmp_path / f"shards/{unit.fingerprint}.json"
    stamp = marker.stat().st_mtime_ns
    commit_unit(Root.of(tmp_path), unit, outcomes=samples)
    assert marker.stat().st_mtime_ns == stamp
    (tmp_path / f"shards/{unit.fingerprint}.tar").write_bytes(b"cut")
    commit_unit(Root.of(tmp_path), unit, outcomes=samples)
    assert _files(tmp_path) == before


def test_writers_of_the_same_unit_do_not_disturb_each_other(tmp_path, make_unit_of, make_sample):
    unit = make_unit_of(20)
    samples = [make_sample(record, i) for i, record in enumerate(unit.records)]

    def commit(_):
        return commit_unit(Root.of(tmp_path), unit, outcomes=list(samples))

    with ThreadPoolExecutor(4) as pool:
        infos = list(pool.map(commit, range(12)))
    assert all(info == infos[0] for info in infos)
    assert len(_files(tmp_path)) == 4
    assert verify_root(str(tmp_path)) == []


def test_half_a_shard_is_invisible(tmp_path, make_unit_of, make_sample):
    unit = make_unit_of(1)
    commit_unit(Root.of(tmp_path), unit, outcomes=[make_sample(unit.records[0])])
    (tmp_path / f"shards/{unit.fingerprint}.json").unlink()
    assert committed(Root.of(tmp_path)) == set()
    assert not is_committed(Root.of(tmp_path), unit.fingerprint)
    with pytest.raises(ShardError, match="not committed"):
        list(iter_samples(Root.of(tmp_path), unit.fingerprint))
    assert committed(Root.of(tmp_path / "nowhere")) == set()


def test_object_stores_get_the_same_bytes_marker_last(tmp_path, make_unit_of, make_sample):
    unit = make_unit_of(3)
    samples = [make_sample(record, i) for i, record in enumerate(unit.records)]
    root = Root(f"memory://root-{tmp_path.name}")
    info = commit_unit(root, unit, outcomes=samples)
    assert info == commit_unit(Root.of(tmp_path), unit, outcomes=samples)
    assert committed(root) == {unit.fingerprint}
    assert [s.key for s in iter_samples(root, unit.fingerprint)] == [s.key for s in samples]
    names = fsspec.filesystem("memory").ls(f"/root-{tmp_path.name}/shards", detail=False)
    assert len(names) == 4


def test_split_is_a_function_of_the_key():
    keys = [f"{i:016x}" for i in range(4000)]
    share = sum(split_of(key) == "val" for key in keys) / len(keys)
    assert 0.035 < share < 0.065
    assert {split_of(key, 0.0) for key in keys} == {"train"}
    assert {split_of(key, 1.0) for key in keys} == {"val"}
    wider = {key for key in keys if split_of(key, 0.2) == "val"}
    assert {key for key in keys if split_of(key) == "val"} < wider
