"""What a shell offers is what the settings take."""

import os
import subprocess
import sys
from typing import get_args

import pytest
from typer.testing import CliRunner

from flows.cli import choices
from flows.cli.app import app
from flows.params import RebuildParams, RetryParams, TrainParams
from flows.tree import leaves
from tests.flows.flow_samples import ROOT


@pytest.mark.parametrize(
    ("option", "kind", "path"),
    [
        ("device", TrainParams, "device"),
        ("format", RebuildParams, "format"),
        ("duplicates", RetryParams, "duplicates"),
        ("cache", TrainParams, "training.cache.use"),
    ],
)
def test_the_fixed_values_are_those_of_the_settings(option: str, kind: type, path: str) -> None:
    annotation = {".".join(place): found for place, found in leaves(kind)}[path]
    assert choices.fixed(option)() == list(get_args(annotation))


def test_methods_and_reasons_are_known_ones() -> None:
    from hcp.training.methods.names import METHODS
    from storage.records import REJECT_REASONS

    assert {name.partition("+")[0] for name in choices.methods()} == set(METHODS)
    assert tuple(choices.reasons()) == REJECT_REASONS


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("hcp retry", {"retry-failed"}),
        ("hcp train --res", {"--resume"}),
        ("hcp train --preset ", set(choices.presets())),
        ("hcp retry-failed data --reason un", {"unreadable"}),
        ("hcp generate --device ", {"auto", "cpu", "cuda"}),
    ],
)
def test_a_shell_is_offered_values(typed: str, offered: set[str]) -> None:
    words = {"COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
    done = subprocess.run(
        [sys.executable, "-m", "flows"], cwd=ROOT, capture_output=True, text=True, timeout=100,
        env=os.environ | words | {"_HCP_COMPLETE": "complete_bash"}, check=True,
    )  # fmt: skip
    assert set(done.stdout.split()) == offered


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_asks_hcp(shell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    shown = CliRunner().invoke(app, ["--show-completion", shell])
    assert "_HCP_COMPLETE" in shown.output
