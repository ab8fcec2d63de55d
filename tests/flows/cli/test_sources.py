"""`hcp sources`: what a place with photos is taken for, and what to do where it is not."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from flows.cli import app


def hcp(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["sources", *arguments])


def test_it_says_what_a_source_is_read_as(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"x")
    (tmp_path / "t.csv").write_text("image_path,caption\na.jpg,a man\n")
    done = hcp(str(tmp_path / "t.csv"))
    assert done.exit_code == 0, done.output
    assert "read as tables" in done.output
    assert "records: 1, 0 of them without a caption" in done.output
    assert 'a.jpg: "a man"' in done.output
    assert "1 records + 1 used + 0 left out = 2 there" in done.output


def test_links_out_of_the_source_are_named_with_the_option_that_reads_them(tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / "0123").write_bytes(b"x")
    (tmp_path / "snapshot").mkdir()
    (tmp_path / "snapshot" / "a.jpg").symlink_to("../blobs/0123")
    done = hcp(str(tmp_path / "snapshot"))
    assert done.exit_code == 2
    assert "1 link_outside" in done.output
    assert "--follow-links" in done.output
    followed = hcp(str(tmp_path / "snapshot"), "--follow-links")
    assert followed.exit_code == 0, followed.output
    assert "1 records + 0 used + 0 left out = 1 there" in followed.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--format", "zip"], "format must be auto, folder, table, webdataset or coco"),
        (["--format", "folder", "--images", "."], "is for COCO and table sources"),
        ([], "no photos"),
    ],
)
def test_a_mistake_is_one_message_and_exit_code_2(
    arguments: list[str], said: str, tmp_path: Path
) -> None:
    done = hcp(str(tmp_path), *arguments)
    assert done.exit_code == 2
    assert said in done.output
    assert "Traceback" not in done.output


def test_a_source_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = hcp(str(tmp_path / "nothing"))
    assert f"source not found: {tmp_path / 'nothing'}" in str(done.exception)
