"""Local paths and object stores behind the same verbs."""

import os
from pathlib import Path

import pytest

from storage.locations import (
    exists,
    file_size,
    files_below,
    is_directory,
    is_local,
    join,
    local_copy,
    names_in,
    normalised,
    read_bytes,
    remove,
    staging,
    write_atomic,
)


@pytest.fixture(params=["local", "file", "memory"])
def root(request, tmp_path):
    """An empty directory: a path, a file:// URL with a blank in it, an object prefix."""
    if request.param == "memory":
        return f"memory://locations-{tmp_path.name}"
    place = tmp_path / "a b"
    return str(place) if request.param == "local" else "file://" + str(place).replace(" ", "%20")


def test_the_verbs_agree_everywhere(root):
    assert not exists(join(root, "x", "f.bin"))
    assert names_in(join(root, "x")) == []
    assert file_size(join(root, "x", "f.bin")) is None
    write_atomic(join(root, "x", "f.bin"), b"one")
    write_atomic(join(root, "x", "f.bin"), b"second")
    write_atomic(join(root, "x", "deeper", "g"), b"")
    uri = join(root, "x", "f.bin")
    assert (read_bytes(uri), file_size(uri), exists(uri)) == (b"second", 6, True)
    assert names_in(join(root, "x")) == ["f.bin"]  # no directory, nothing temporary
    assert is_directory(join(root, "x"))
    assert not is_directory(uri)
    assert [uri.rpartition("/x/")[2] for uri in files_below(root)] == ["deeper/g", "f.bin"]
    assert files_below(join(root, "y")) == []
    with local_copy(uri) as path:
        assert path.read_bytes() == b"second"
    remove(uri)
    remove(uri)
    assert not exists(uri)
    with pytest.raises(OSError, match=r"f\.bin"):
        read_bytes(uri)


def test_one_spelling_per_location(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    spellings = ["data", "./data/", "x/../data", "~/data", Path("data"), f"file://{tmp_path}/data"]
    assert {normalised(s) for s in spellings} == {str(tmp_path / "data")}
    assert normalised("s3://bucket/data/") == "s3://bucket/data"
    assert [is_local(u) for u in ("data", "file:///data", "s3://b")] == [True, True, False]


def test_what_is_not_published_goes_also_after_an_error(root):
    with staging(join(root, "s")) as stage:
        for name in ("kept", "left"):
            stage.path(name).write_bytes(b"x")
            stage.flush(name)
        stage.publish("kept")
        left = stage.path("left")
    assert names_in(join(root, "s")) == ["kept"]
    assert not left.exists()

    def fail() -> None:
        with staging(join(root, "s")) as again:
            again.path("half").write_bytes(b"x")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert names_in(join(root, "s")) == ["kept"]


def test_readers_see_whole_files_only(tmp_path):
    write_atomic(str(tmp_path / "f"), b"old")
    before = os.stat(tmp_path / "f").st_ino
    with (tmp_path / "f").open("rb") as reader:
        write_atomic(str(tmp_path / "f"), b"new and longer")
        assert reader.read() == b"old"
    assert os.stat(tmp_path / "f").st_ino != before
