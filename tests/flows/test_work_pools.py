"""Work pools of all types, as far as no server is needed; tests/flows/test_postgres.py has one."""

import os
import subprocess
from pathlib import Path

from flows.deployments import specs
from flows.work_pools import POOL_TYPES, WORKDIR, merged, pull_steps

ROOT = Path(__file__).parents[2]


def test_a_change_is_laid_over_a_template() -> None:
    base = {"a": {"b": 1, "c": [{"d": 2, "e": 3}]}, "gone": 1}
    change = {"a": {"c": [{"d": None, "f": 4}], "new": [1, 2]}, "gone": None}
    assert merged(base, change) == {"a": {"b": 1, "c": [{"e": 3, "f": 4}], "new": [1, 2]}}
    assert base["gone"] == 1
    assert merged({"a": [1]}, {"a": [2, 3]}) == {"a": [2, 3]}
    assert merged({}, {"a": {"b": None}}) == {"a": {}}


def test_a_container_goes_where_its_data_lie_and_a_process_stays() -> None:
    steps = [{"prefect.deployments.steps.set_working_directory": {"directory": WORKDIR}}]
    expected = {"process": None, "docker": steps, "kubernetes": steps}
    assert {kind: pull_steps(kind) for kind in POOL_TYPES} == expected
    for kind, pull in expected.items():
        found = specs("pool", pull=pull_steps(kind))
        assert len(found) == 7
        assert all(spec.get("pull") == pull for spec in found.values())
    assert f"WORKDIR {WORKDIR}\n" in (ROOT / "deploy" / "Containerfile").read_text()


def image(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """``deploy/image`` with a builder that says what it was asked for."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("HCP_")}
    return subprocess.run(
        ["bash", "deploy/image", *words], cwd=ROOT, env=plain | environment, text=True,
        capture_output=True, timeout=60, check=False,
    )  # fmt: skip


def test_the_image_is_built_and_pushed_under_its_name() -> None:
    done = image("build", HCP_IMAGE="registry.example/hcp:1", HCP_BUILDER="echo")
    assert done.stdout.split() == [
        "build", "-f", "deploy/Containerfile", "--build-arg", "VARIANT=cuda",
        "-t", "registry.example/hcp:1", ".",
    ]  # fmt: skip
    assert (ROOT / "deploy" / "Containerfile").is_file()
    done = image("build", HCP_IMAGE="hcp:1", HCP_BUILDER="echo", HCP_VARIANT="cpu")
    assert "VARIANT=cpu" in done.stdout
    assert image("push", HCP_IMAGE="hcp:1", HCP_BUILDER="echo").stdout == "push hcp:1\n"


def test_an_image_without_a_name_is_refused() -> None:
    done = image("build", HCP_BUILDER="echo")
    assert done.returncode == 1
    assert "HCP_IMAGE: set it to the name and tag of the image" in done.stderr
    assert image("bild", HCP_IMAGE="hcp:1", HCP_BUILDER="echo").returncode == 2
