"""From a URI to a source; sources pickle and read over fsspec."""

import pickle

import fsspec
import pytest

from storage.errors import SourceError
from storage.sources import open_source, resolve_source


def test_sources_pickle(tmp_path, jpeg):
    (tmp_path / "a.jpg").write_bytes(jpeg())
    source = resolve_source(str(tmp_path))
    copy = pickle.loads(pickle.dumps(source))
    assert list(copy.records()) == list(source.records())


def test_unknown_things_are_refused(tmp_path):
    (tmp_path / "x.zip").write_bytes(b"")
    with pytest.raises(SourceError, match=r"x\.zip: expected"):
        resolve_source(str(tmp_path / "x.zip"))
    with pytest.raises(SourceError, match="nosuch"):
        resolve_source("nosuch://bucket/x")
    with pytest.raises(ValueError, match="images"):
        resolve_source(str(tmp_path), format="folder", images=str(tmp_path))
    with pytest.raises(ValueError, match="format"):
        resolve_source(str(tmp_path), format="zip")  # pyright: ignore[reportArgumentType]


def test_folder_over_fsspec_lists_and_reads_as_a_local_one(tmp_path, jpeg):
    fs = fsspec.filesystem("memory")
    for index, name in enumerate(("b/x y.jpg", "a.jpg", ".h.jpg")):
        fs.pipe_file(f"/src-{tmp_path.name}/{name}", jpeg(index))
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(jpeg(index))
    fs.pipe_file(f"/src-{tmp_path.name}/a.txt", b"a man")
    (tmp_path / "a.txt").write_text("a man")
    remote = resolve_source(f"memory://src-{tmp_path.name}")
    records = list(remote.records())
    assert records == list(open_source(str(tmp_path)))
    assert [data for _, data in remote.read(records)] == [jpeg(1), jpeg(0)]
