"""`hcp versions`, `verify`, `gc`, `inspect`: lines for people, one document for scripts."""

import json
from pathlib import Path
from typing import Any

import pytest

from storage.errors import ContractError, VersionError
from storage.versions import publish_version
from tests.flows.cli.command import hcp


@pytest.fixture
def root(tmp_path: Path, fill_root: Any) -> str:
    root = str(tmp_path / "data")
    names = fill_root(root)
    for n in (1, 2, 3):
        publish_version(root, names[:n], config={})
    return root


def test_versions_are_listed_and_the_latest_is_marked(root: str) -> None:
    lines = hcp("versions", root).output.splitlines()
    assert lines[0].split()[:3] == ["version", "published", "(UTC)"]
    assert len(lines) == 5
    latest = (Path(root) / "versions" / "LATEST").read_text().strip()
    marked = [line for line in lines if line.endswith("latest")]
    assert [line.split()[0] for line in marked] == [latest]
    assert [line.split()[-5:] for line in marked] == [["27", "3", "3", "0", "latest"]]
    assert lines[-1] == "3 of 3 versions"
    assert hcp("versions", root, "--limit", "1").output.splitlines()[-1].startswith("1 of 3")
    found = json.loads(hcp("versions", root, "--json").stdout)
    assert found["n_versions"] == 3
    row = next(each for each in found["versions"] if each["latest"])
    assert row["dataset"] == f"{root}@{latest}"
    assert (row["samples"], row["rejects"], row["shards"]) == (27, 3, 3)


def test_a_root_without_versions_says_what_makes_one(tmp_path: Path) -> None:
    done = hcp("versions", str(tmp_path))
    assert isinstance(done.exception, VersionError)
    assert "hcp rebuild --root" in str(done.exception)


def test_each_is_one_document_for_a_script(root: str, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    found = json.loads(hcp("inspect", root, "--out", str(page), "--json").stdout)
    assert found["page"] == str(page)
    assert found["rejects_by_reason"] == {"no_person": 3}
    assert json.loads(hcp("gc", root, "--dry-run", "--json").stdout)["files"] == []
    for options in ((), ("--quick",)):
        done = hcp("verify", root, "--json", *options)
        assert (done.exit_code, json.loads(done.stdout)["problems"]) == (0, [])


def test_what_verify_finds_is_exit_code_1(root: str) -> None:
    tar = next((Path(root) / "shards").glob("*.tar"))
    tar.write_bytes(tar.read_bytes()[:-1])
    for options in ((), ("--quick",)):
        done = hcp("verify", root, *options)
        assert done.exit_code == 1
        assert tar.name in done.output
        assert done.output.endswith("1 problems\n")


@pytest.mark.parametrize(
    "command", [("versions",), ("inspect",), ("verify",), ("verify", "--quick"), ("gc",)]
)
def test_a_root_of_a_newer_contract_is_one_error(root: str, command: tuple[str, ...]) -> None:
    latest = (Path(root) / "versions" / "LATEST").read_text().strip()
    file = Path(root) / "versions" / f"{latest}.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"contract": 2}))
    done = hcp(*command, root)
    assert isinstance(done.exception, ContractError)
    said = str(done.exception)
    assert str(file) in said
    assert "contract 2" in said
    assert "upgrade hcp" in said
