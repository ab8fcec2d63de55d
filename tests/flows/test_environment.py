"""Variables that nothing reads are told, those that something reads are not."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from flows.environment import OTHERS, unknown
from tests.flows.flow_samples import ROOT


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("HCP_TRAINING__STPES", "did you mean HCP_TRAINING__STEPS?"),
        ("HCP_TRAINING_STEPS", "did you mean HCP_TRAINING__STEPS?"),
        ("HCP_training__steps", "did you mean HCP_TRAINING__STEPS?"),
        ("HCP_SORCE", "did you mean HCP_SOURCE?"),
        ("HCP_HOEM", "did you mean HCP_HOME?"),
        ("HCP_XYZ", "unset it, or see docs/configuration.md"),
    ],
)
def test_what_nothing_reads_has_its_nearest_name(name: str, near: str) -> None:
    assert list(unknown({name: "1"})) == [(name, f"nothing reads it; {near}")]


def test_what_something_reads_is_not_told() -> None:
    settings = ("HCP_TRAINING__STEPS", "HCP_SOURCE", "HCP_REBUILD__GATE__MIN_SIDE_PX", "HCP_TASKS")
    others = ("PATH", "HCP_CLIENT_SECRET", "_HCP_STACK")  # the second is HashiCorp's
    assert not list(unknown(dict.fromkeys((*settings, *others, *OTHERS), "1")))


def test_every_variable_that_the_code_and_the_files_read_is_known() -> None:
    files = [
        *(ROOT / "flows").rglob("*.py"), *(ROOT / "storage").rglob("*.py"), *_files("deploy"),
        *(ROOT / "priors").rglob("*.py"), *(ROOT / "hcp").rglob("*.py"), ROOT / "tests/browser.py",
    ]  # fmt: skip
    read = re.compile(r"""(?:[$]\{?|["'])(HCP_[A-Z_]+[A-Z])\b(?=["':}?=]|$)""")
    named = {name for file in files for name in read.findall(file.read_text(errors="replace"))}
    assert {"HCP_SMTP", "HCP_PHOTOS", "HCP_HOME", "HCP_CACHE"} <= named
    assert not list(unknown(dict.fromkeys(named, "1")))


def test_every_command_warns() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flows", "weights", "--json"], cwd=ROOT, text=True, check=True,
        env={"PATH": "/bin", "HCP_TRAINING__STPES": "3"}, capture_output=True, timeout=100,
    )  # fmt: skip
    assert done.stdout.startswith("{")
    warned = "warning: HCP_TRAINING__STPES: nothing reads it; did you mean HCP_TRAINING__STEPS?"
    assert warned in done.stderr


def _files(name: str) -> list[Path]:
    return [file for file in (ROOT / name).rglob("*") if file.is_file()]
