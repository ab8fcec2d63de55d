"""Small decisions of an evaluation."""

from pathlib import Path

import pytest

from flows.jobs import read_prompts
from storage.errors import HcpError


def test_prompts_are_the_non_empty_lines(tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text("a man\n\n  two women dancing  \n")
    assert read_prompts(str(path)) == ("a man", "two women dancing")


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xff\xfe\xff"])
def test_a_file_without_prompts_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_bytes(content)
    with pytest.raises(HcpError, match=r"prompts\.txt"):
        read_prompts(str(path))


def test_a_missing_prompts_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(HcpError, match=r"gone\.txt"):
        read_prompts(str(tmp_path / "gone.txt"))
