"""``hcp generate``: its options become one job, and a mistake is one message."""

from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from flows.cli import app
from storage.errors import HcpError

QUICK = ("--base", "embedded", "--steps", "1", "--width", "64", "--height", "48", "--device", "cpu")


def hcp(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


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
