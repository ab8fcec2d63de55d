"""What a listing says about files."""

import os
from pathlib import Path

import pytest

from storage.file_facts import FileFacts, files_in
from storage.locations import join, write_atomic


@pytest.mark.parametrize("kind", ["disk", "memory"])
def test_a_listing_says_sizes_and_times_of_files_alone(kind: str, tmp_path: Path) -> None:
    folder = str(tmp_path / "facts") if kind == "disk" else "memory://file-facts"
    write_atomic(join(folder, "a.bin"), b"123")
    write_atomic(join(folder, "below", "b.bin"), b"1")
    (facts,) = files_in(folder).items()
    assert facts[0] == "a.bin"
    assert facts[1].size_bytes == 3
    assert facts[1].modified_s > 1e9
    assert files_in(join(folder, "nothing")) == {}


def test_times_are_those_of_the_disk(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12")
    os.utime(tmp_path / "a", (1000, 2000))
    assert files_in(str(tmp_path)) == {"a": FileFacts(2, 2000.0)}
