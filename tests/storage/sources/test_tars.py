"""WebDataset tars as sources, whole and broken."""

import io
import json
import tarfile
from pathlib import Path

import pytest

from storage.plan import PlanConfig, plan_units
from storage.sources import ReadFailure, open_source, resolve_source


def _tar(path: Path, members: list[tuple[str, bytes]]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def _img2dataset(n: int, jpeg, first: int = 0) -> list[tuple[str, bytes]]:
    members: list[tuple[str, bytes]] = []
    for i in range(first, first + n):
        facts = {"caption": f"json {i}", "url": f"u{i}", "status": "success"}
        members += [
            (f"{i:09}.jpg", jpeg(i)),
            (f"{i:09}.json", json.dumps(facts).encode()),
            (f"{i:09}.txt", f"text {i}".encode()),
        ]
    return members


def test_img2dataset_layout(tmp_path, jpeg):
    _tar(tmp_path / "00000.tar", _img2dataset(3, jpeg))
    _tar(tmp_path / "00001.tar", _img2dataset(2, jpeg, first=3))
    (tmp_path / "00000.parquet").write_bytes(b"img2dataset writes one of these, too")
    source = resolve_source(str(tmp_path))
    records = list(source.records())
    assert source.format == "webdataset"
    assert [record.uri for record in records[:1]] == ["00000.tar#000000000.jpg"]
    assert [record.caption for record in records] == [f"text {i}" for i in range(5)]
    assert records[1].attributes == {"url": "u1", "status": "success"}
    backwards = records[::-1]
    assert [d for _, d in source.read(backwards)] == [jpeg(i) for i in (4, 3, 2, 1, 0)]


def test_units_do_not_span_tars(tmp_path, jpeg):
    for number in range(3):
        _tar(tmp_path / f"{number}.tar", _img2dataset(7, jpeg, first=10 * number))
    units = list(plan_units(open_source(str(tmp_path)), config=PlanConfig(unit_size=100), salt=""))
    assert [len(unit.records) for unit in units] == [7, 7, 7]


def test_sample_without_image_and_repeated_name_are_records(tmp_path, jpeg):
    members = [("a.jpg", jpeg(1)), ("b.json", b'{"caption": "failed download"}')]
    _tar(tmp_path / "x.tar", [*members, ("a.jpg", jpeg(2)), ("c.mask.png", jpeg(3))])
    source = resolve_source(str(tmp_path / "x.tar"))
    records = list(source.records())
    data = [data for _, data in source.read(records)]
    assert len({record.key for record in records}) == 4
    assert (data[0], data[2]) == (jpeg(1), jpeg(2))
    assert isinstance(data[1], ReadFailure)
    assert isinstance(data[3], ReadFailure)


@pytest.mark.parametrize("keep", [0, 100, 512 * 7 + 20, 512 * 9])
def test_a_broken_tar_gives_its_good_samples_and_one_failure(tmp_path, jpeg, keep):
    _tar(tmp_path / "0.tar", _img2dataset(5, jpeg))
    whole = (tmp_path / "0.tar").read_bytes()
    (tmp_path / "0.tar").write_bytes(whole[:keep])
    _tar(tmp_path / "1.tar", _img2dataset(2, jpeg, first=10))
    source = resolve_source(str(tmp_path))
    records = list(source.records())
    broken = [record for record in records if record.uri == "0.tar#"]
    assert len(broken) == 1
    data = {record.uri: data for record, data in source.read(records)}
    assert isinstance(data["0.tar#"], ReadFailure)
    assert data["1.tar#000000010.jpg"] == jpeg(10)
    good = [uri for uri in data if uri.startswith("0.tar#0")]
    assert all(data[uri] == jpeg(int(uri[6:15])) for uri in good)
    assert bool(good) == (keep > 512 * 6)


def test_garbage_instead_of_a_tar(tmp_path):
    (tmp_path / "0.tar").write_bytes(b"this is no tar" * 100)
    source = resolve_source(str(tmp_path))
    ((record, data),) = source.read(list(source.records()))
    assert record.uri == "0.tar#"
    assert isinstance(data, ReadFailure)


def test_what_stands_in_shards_does_not_name_the_root(tmp_path, jpeg):
    _tar(tmp_path / "0.tar", _img2dataset(2, jpeg))
    source = resolve_source(str(tmp_path))
    records = list(source.records())
    (tmp_path / "0.tar").unlink()
    for _, failure in source.read(records):
        assert isinstance(failure, ReadFailure)
        assert "0.tar" in failure.detail
        assert str(tmp_path) not in failure.detail


@pytest.mark.parametrize("start", [512 * 3, 512 * 6])
def test_in_whichever_order_a_damaged_tar_is_read_its_good_photos_are(tmp_path, jpeg, start):
    _tar(tmp_path / "0.tar", _img2dataset(5, jpeg))
    whole = bytearray((tmp_path / "0.tar").read_bytes())
    source = resolve_source(str(tmp_path))
    records = list(source.records())
    whole[start : start + 512 * 4] = bytes(range(256)) * 8
    (tmp_path / "0.tar").write_bytes(whole)
    forwards = dict(
        zip((r.uri for r in records), (d for _, d in source.read(records)), strict=True)
    )
    backwards = {record.uri: data for record, data in source.read(records[::-1])}
    good = [uri for uri, data in forwards.items() if isinstance(data, bytes)]
    assert good == [uri for uri in forwards if isinstance(backwards[uri], bytes)]
    assert "0.tar#000000000.jpg" in good
