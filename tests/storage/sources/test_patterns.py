"""Braces and stars in the name of a source (case A20)."""

import fsspec
import pytest

from storage.errors import SourceError
from storage.sources import ReadFailure, resolve_source
from storage.sources.patterns import expand_braces, is_pattern, pattern_names


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("{00000..00002}.tar", ["00000.tar", "00001.tar", "00002.tar"]),
        ("{8..10}", ["8", "9", "10"]),
        ("{08..10}", ["08", "09", "10"]),
        ("{2..0}", ["2", "1", "0"]),
        ("{0..6..3}", ["0", "3", "6"]),
        ("{a,b}-{0..1}", ["a-0", "a-1", "b-0", "b-1"]),
        ("{train,val}/{0,1}.tar", ["train/0.tar", "train/1.tar", "val/0.tar", "val/1.tar"]),
        ("x{}.tar", ["x{}.tar"]),
        ("{name}.tar", ["{name}.tar"]),
        ("plain.tar", ["plain.tar"]),
    ],
)
def test_a20_braces_are_those_of_webdataset(pattern, names):
    assert list(expand_braces(pattern)) == names


def test_a_range_without_end_is_refused():
    with pytest.raises(SourceError, match="more than 1000000 names"):
        list(expand_braces("{0..99999999999}.tar"))


def test_only_signs_after_the_protocol_make_a_pattern():
    assert is_pattern("s3://bucket/{0..3}.tar")
    assert is_pattern("/data/*.parquet")
    assert not is_pattern("memory://bucket/a.tar")


@pytest.fixture(params=["disk", "store"])
def place(request, tmp_path):
    names = ["d/00.tar", "d/01.tar", "d/sub/02.tar", "d/.hid.tar", "d/a[1].tar", "d/x.parquet"]
    root = str(tmp_path) if request.param == "disk" else f"memory://p-{tmp_path.name}"
    for name in names:
        with fsspec.open(f"{root}/{name}", "wb", auto_mkdir=True) as file:
            file.write(b"x")
    return root


@pytest.mark.parametrize(
    ("pattern", "root", "names"),
    [
        ("d/{00..01}.tar", "d", ["00.tar", "01.tar"]),
        ("d/{00..02}.tar", "d", ["00.tar", "01.tar", "02.tar"]),  # the last is not there
        ("d/0*.tar", "d", ["00.tar", "01.tar"]),
        ("d/0[1-9].tar", "d", ["01.tar"]),
        ("d/**/0?.tar", "d", ["00.tar", "01.tar", "sub/02.tar"]),
        ("{d,e}/00.tar", "", ["d/00.tar", "e/00.tar"]),
        ("d/*.par*", "d", ["x.parquet"]),
    ],
)
def test_a20_patterns_on_disks_and_stores(place, pattern, root, names):
    found = pattern_names(f"{place}/{pattern}")
    assert found == (f"{place}/{root}".rstrip("/"), names)


def test_a_pattern_that_fits_nothing_says_so(place):
    with pytest.raises(SourceError, match="nothing there fits the pattern"):
        pattern_names(f"{place}/d/{{5..6}}.tar")
    with pytest.raises(SourceError, match="nothing there fits the pattern"):
        resolve_source(f"{place}/*.csv")


def test_a_missing_tar_of_a_pattern_is_a_record_that_fails(place):
    source = resolve_source(f"{place}/d/{{00..02}}.tar")
    assert source.format == "webdataset"
    found = {record.uri: data for record, data in source.read(list(source.records()))}
    assert list(found) == ["00.tar#", "01.tar#", "02.tar#"]
    assert all(isinstance(data, ReadFailure) for data in found.values())


def test_patterns_of_several_kinds_are_refused(place):
    with pytest.raises(SourceError, match="tars alone or of tables alone"):
        resolve_source(f"{place}/d/*")


def test_a_folder_whose_name_has_brackets_is_no_pattern(tmp_path, jpeg):
    (tmp_path / "a [1] {x,y}").mkdir()
    (tmp_path / "a [1] {x,y}/a.jpg").write_bytes(jpeg())
    source = resolve_source(str(tmp_path / "a [1] {x,y}"))
    assert [record.uri for record in source.records()] == ["a.jpg"]
