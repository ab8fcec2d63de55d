"""Small decisions of an evaluation, and what a picture is refused for."""

from pathlib import Path

import pytest

from flows.jobs import PictureJob, generate_picture, read_prompts
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


@pytest.mark.parametrize(
    ("out", "checkpoint", "message"),
    [("picture.xyz", None, r"picture\.xyz"), ("picture.png", "gone", "gone")],
    ids=["format", "checkpoint"],
)
def test_what_is_wrong_is_told_before_the_base_loads(
    out: str, checkpoint: str | None, message: str, tmp_path: Path
) -> None:
    with pytest.raises(HcpError, match=message):
        generate_picture(
            PictureJob(
                base=str(tmp_path / "no-base"), prompt="a man", out=tmp_path / out,
                checkpoint=checkpoint and str(tmp_path / checkpoint), steps=1, guidance=1.0,
            )
        )  # fmt: skip
    assert not list(tmp_path.iterdir())
