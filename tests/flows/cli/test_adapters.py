"""``hcp generate`` and ``hcp push``: what their options become, and a mistake is one message."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from demo.embedded import SD_DIR
from hcp import HcpAdapter, HcpConfig
from hcp.base import load_base
from storage.errors import HcpError
from tests.flows.cli.command import hcp, typed
from tests.hub_server import WRITE_TOKEN, Hub

QUICK = ("--base", "embedded", "--steps", "1", "--width", "64", "--height", "48", "--device", "cpu")


def test_a_file_of_prompts_and_several_seeds(tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_text("a red car\na man jumping\n")
    out = tmp_path / "out"
    done = hcp("generate", *QUICK, "--prompts", str(tmp_path / "prompts.txt"), "--seeds", "3,4",
               "--negative-prompt", "ugly", "--out", str(out))  # fmt: skip
    names = [f"00{number}-seed{seed}.png" for number in (1, 2) for seed in (3, 4)]
    assert done.stdout.split() == [str(out / name) for name in names]
    with Image.open(out / names[0]) as picture:
        assert picture.size == (64, 48)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--prompt", "a", "--seed", "1", "--seeds", "2"), "--seed or --seeds"),
        (("--prompt", "a", "--seeds", "1,x"), "'1,x'"),
        (("--prompt", "a", "--strengths", "0;1"), "'0;1'"),
        (("--prompt", "a", "--strength", "nan"), "finite"),
        ((), "--prompts FILE"),
    ],
)
def test_a_mistake_is_told(arguments: tuple[str, ...], message: str, tmp_path: Path) -> None:
    done = hcp("generate", *QUICK, "--out", str(tmp_path / "a.png"), *arguments)
    assert isinstance(done.exception, HcpError)
    assert message in str(done.exception)


@pytest.mark.slow
def test_push_and_generate_ask_the_hub_of_the_environment(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    HcpAdapter.create(load_base(SD_DIR).unet, HcpConfig(width=8)).save_pretrained(tmp_path / "a")
    environment = os.environ | {
        "HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "home"), "HF_TOKEN": WRITE_TOKEN,
        "HF_HUB_DISABLE_XET": "1",
    }  # fmt: skip

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "flows", *arguments], env=environment,
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip

    monkeypatch.setenv("HF_TOKEN", "")
    refused = typed("push", tmp_path / "a", "someone/people")
    assert refused.returncode == 2
    assert "error: push to someone/people: not logged in" in refused.stderr
    pushed = run("push", str(tmp_path / "a"), "someone/people", "--private", "--revision", "v1")
    commit = hub.repos["someone/people"].branches["v1"]
    assert pushed.stdout == f"someone/people@{commit}\n", pushed.stderr
    out = tmp_path / "a.png"
    drawn = run("generate", *QUICK, "--prompt", "a man", "--checkpoint", "someone/people@v1",
                "--strength", "0.5", "--out", str(out))  # fmt: skip
    assert drawn.stdout == f"{out}\n", drawn.stderr
