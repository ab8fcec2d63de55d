"""`hcp compare-page` and `hcp votes`, from pictures to the answer."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hcp.evaluation.compare_key import CompareKey, VotesError, read_key
from storage.errors import HcpError
from tests.flows.cli.command import hcp
from tests.hcp.evaluation.ballot_files import said, votes_file


@pytest.fixture
def key(tmp_path: Path) -> CompareKey:
    """Of a page that the command wrote."""
    for n, letter in enumerate("ab"):
        (tmp_path / letter).mkdir()
        for i in range(6):
            picture = np.full((8, 8, 3), 100 * n + i, dtype=np.uint8)
            Image.fromarray(picture).save(tmp_path / letter / f"{i}.png")
    done = hcp("compare-page", "--a-pictures", tmp_path / "a", "--b-pictures", tmp_path / "b",
               "--out", tmp_path / "page.html", "--question", "Which is lighter?", "--checks", "1",
               "--a", "old", "--b", "new")  # fmt: skip
    assert done.exit_code == 0, done.output
    assert f"page {tmp_path / 'page.html'}\nkey {tmp_path / 'page.key.json'}\n" in done.output
    assert "warning: 1 pairs are shown twice, not 8" in done.output
    return read_key((tmp_path / "page.key.json").read_bytes(), "k")


def votes(key: CompareKey, outcomes: str, rater: str, seed: str) -> bytes:
    return votes_file(said(key, outcomes), rater=rater, seed=seed, page=key.page)


def test_votes_become_an_answer(key: CompareKey, tmp_path: Path) -> None:
    folder = tmp_path / "votes"
    folder.mkdir()
    (folder / "anna.json").write_bytes(votes(key, "bbbbba=", "anna", "1"))
    (folder / "ben.json").write_bytes(votes(key, "bbbb=ab", "ben", "2"))
    (folder / "broken.json").write_bytes(b"{")
    (folder / "notes.txt").write_text("no votes")
    done = hcp("votes", folder, folder / "anna.json", "--key", tmp_path / "page.key.json")
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert lines[0].startswith(f"warning: {folder / 'broken.json'} does not count: expected a JSON")
    assert lines[1].startswith("b wins ")
    for said_of in ("  b: new", "  a: old", "  Which is lighter?", "Krippendorff's alpha",
                    "sign test over 6 pairs", "2 raters", "left picture chosen"):  # fmt: skip
        assert said_of in done.output
    assert [line.split()[0] for line in lines if line.startswith(("anna", "ben"))] == [
        "anna",
        "ben",
    ]
    machine = hcp("votes", folder / "anna.json", folder / "ben.json", "--json",
                  "--key", tmp_path / "page.key.json")  # fmt: skip
    found = json.loads(machine.output)
    assert found["b"] == "new"
    assert sum(found["votes"].values()) == 12
    assert found["win_rate"]["low"] <= found["win_rate"]["mean"] <= found["win_rate"]["high"]


def test_mistakes_are_told(key: CompareKey, tmp_path: Path) -> None:
    file, place = tmp_path / "anna.json", tmp_path / "page.key.json"
    file.write_bytes(votes_file(said(key, "b"), page="another"))
    for arguments, message in (
        (("votes", file, "--key", place), "these are votes on another page"),
        (("votes", tmp_path / "no.json", "--key", place), "the file cannot be read"),
        (("votes", file, "--key", tmp_path / "no.json"), "cannot be read: No such file"),
        (("votes", file, "--key", file), "expected the key that"),
    ):
        done = hcp(*arguments)
        assert isinstance(done.exception, HcpError), done.output
        assert message in str(done.exception)
    assert isinstance(hcp("votes", tmp_path / "a", "--key", place).exception, VotesError)


@pytest.mark.parametrize("seeds", ["0", "-1", "x", "", "1,,2"])
def test_odd_seeds_are_told(seeds: str, tmp_path: Path) -> None:
    done = hcp("compare-page", "--out", tmp_path / "p.html", f"--seeds={seeds}")
    assert isinstance(done.exception, HcpError)
    assert "seeds: expected" in str(done.exception)


def test_odd_settings_are_told(tmp_path: Path) -> None:
    done = hcp("compare-page", "--out", tmp_path / "p.html", "--limit", "0")
    assert isinstance(done.exception, HcpError)
    assert "limit >= 1" in str(done.exception)
