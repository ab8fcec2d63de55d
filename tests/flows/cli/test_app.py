"""The command line: help, and one clear line for a user's mistake."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from flows.cli.app import app, main
from flows.names import split_dataset
from storage.errors import HcpError
from tests.flows.cli.command import typed
from tests.flows.flow_samples import ROOT


def in_a_process(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "flows.cli", *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip


def test_help_names_every_command() -> None:
    shown = typed("--help").stdout
    for command in ("demo", "rebuild", "train", "evaluate", "generate", "inspect", "ablate",
                    "verify", "gc", "doctor", "retry-failed", "promote", "rollback",
                    "compare-page", "votes"):  # fmt: skip
        assert command in shown


def test_a_missing_parameter_is_one_line() -> None:
    done = in_a_process("rebuild", "--source", "photos")
    assert done.returncode == 2
    assert done.stderr.strip() == "error: root: Field required"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("rebuild", "--source", "s", "--root", "r", "--set", "extractor.imgsz=500"),
         "ExtractorConfig.imgsz must be a multiple of 32, got 500"),
        (("train", "--steps", "0", "--preset", "demo", "--dataset", "d", "--out", "o"),
         "TrainConfig.steps must be >= 1, got 0"),
        (("evaluate", "--checkpoint", "", "--base", "b", "--out", "o"), "checkpoint: is empty"),
    ],
)  # fmt: skip
def test_an_odd_value_is_one_message(arguments: tuple[str, ...], said: str) -> None:
    done = typed(*arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_generate_looks_a_checkpoint_up_in_the_registry_that_is_given(tmp_path: Path) -> None:
    registry = f"sqlite:///{tmp_path}/none.db"
    done = typed("generate", "--base", "embedded", "--prompt", "a man",
               "--out", str(tmp_path / "x.png"), "--registry", registry,
               "--checkpoint", "hcp-registry:hcp/champion")  # fmt: skip
    assert done.returncode == 2
    assert f"there is no registry {registry}" in done.stderr


def test_a_path_is_printed_as_it_is(tmp_path: Path) -> None:
    root = tmp_path / ("[bold]a very long name" * 6)
    (root / "shards").mkdir(parents=True)
    done = typed("verify", str(root))
    assert done.stdout == "0 problems\n"
    missing = typed("inspect", str(root))
    assert missing.returncode == 2
    assert str(root) in missing.stderr


def test_a_broken_config_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("- a list")
    done = typed("ablate", "--config", str(tmp_path / "c.yaml"))
    assert done.returncode == 2
    assert "c.yaml: expected a mapping of parameters" in done.stderr


@pytest.mark.slow
def test_an_unknown_base_is_an_error_without_a_traceback(tmp_path: Path) -> None:
    done = typed("generate", "--base", str(tmp_path / "no-base"), "--prompt", "a man",
               "--out", str(tmp_path / "x.png"))  # fmt: skip
    assert done.returncode == 2
    assert "no-base" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_generate_draws_the_same_picture_from_the_same_seed(tmp_path: Path) -> None:
    pictures = []
    for name, run in (("a.png", typed), ("b.png", in_a_process)):
        done = run("generate", "--base", "embedded", "--prompt", "a red car on a street",
                   "--seed", "3", "--steps", "2", "--out", str(tmp_path / name))  # fmt: skip
        assert done.returncode == 0, done.stderr
        pictures.append(np.asarray(Image.open(tmp_path / name)))
    assert pictures[0].std() > 5
    np.testing.assert_array_equal(pictures[0], pictures[1])


@pytest.mark.slow
def test_generate_writes_the_maps_of_human_words(tmp_path: Path) -> None:
    out = tmp_path / "a.png"
    done = typed("generate", "--base", "embedded", "--prompt", "a woman dancing", "--maps",
               "--steps", "2", "--out", str(out))  # fmt: skip
    assert done.returncode == 0, done.stderr
    with Image.open(out) as picture, Image.open(tmp_path / "a.maps.png") as sheet:
        assert sheet.height > 2 * picture.height


@pytest.mark.ray
@pytest.mark.prefect
def test_inspect_verify_and_gc(dataset: str, tmp_path: Path) -> None:
    root, version = split_dataset(dataset)
    page = tmp_path / "page.html"
    assert typed("inspect", dataset, "--out", str(page)).returncode == 0
    text = page.read_text()
    assert version in text
    assert "no caption" in text
    assert "data:image/jpeg;base64," in text
    assert typed("verify", root).stdout.strip() == "0 problems"
    assert "0 files would be deleted" in typed("gc", root, "--dry-run").stdout


LONG = f"/data/{'photos and captions ' * 8}[v2] [bold] (1)"


@pytest.mark.parametrize(
    "arguments",
    [
        ("verify", "a", LONG), ("generate", "--base", LONG, "--out", "x.png", LONG),
        ("evaluate", LONG), ("weights", LONG), (LONG,), ("inspect", LONG), ("gc", LONG, LONG),
        ("train", "--config", LONG), ("rebuild", "--preset", LONG),
        ("rebuild", "--source", LONG, "--root", "s3:/b", "--set", f"format={LONG}"),
        ("retry-failed", LONG),
    ],
)  # fmt: skip
def test_d06_a_message_in_a_pipe_shows_a_path_as_it_is(
    arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["hcp", *arguments])
    monkeypatch.setenv("COLUMNS", "60")
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert LONG in capsys.readouterr().err


def test_d06_help_keeps_its_brackets() -> None:
    shown = " ".join(CliRunner().invoke(app, ["evaluate", "--help"]).output.split())
    assert "ROOT[@VERSION]" in shown


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_d06_a_name_that_is_no_text_is_printed(encoding: str, tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/fotos \xfc " + "ä".encode()
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli", "verify", name],
        cwd=ROOT, env=os.environ | {"PYTHONIOENCODING": encoding}, capture_output=True,
        check=False,
    )  # fmt: skip
    assert b"Traceback" not in done.stderr
    assert done.returncode == 0


def test_d06_the_page_of_a_data_set_is_written_where_it_is_wanted(
    fill_root: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from flows.cli.data import inspect
    from storage.versions import publish_version

    publish_version(tmp_path / "data [v2]", fill_root(str(tmp_path / "data [v2]")), config={})
    out = tmp_path / "new" / f"{'x' * 100} [bold] 100%.html"
    inspect(str(tmp_path / "data [v2]"), str(out))
    assert capsys.readouterr().out == f"{out}\n"
    assert out.read_text().startswith("<!")
    for wrong, said in (("s3:/bucket/x.html", "one slash"), ("", "empty")):
        with pytest.raises(HcpError, match=said):
            inspect(str(tmp_path / "data [v2]"), wrong)
