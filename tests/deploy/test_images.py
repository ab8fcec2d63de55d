"""The container file and the compose files, held against what reads them."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
LINES = (DEPLOY / "Containerfile").read_text().replace("\\\n", " ").splitlines()


def program(name: str) -> str:
    """A tool of the extra dev; the test is skipped where it is not installed."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed: pip install -e '.[dev]'")
    return found


def instructions(name: str) -> list[str]:
    return [line.split(None, 1)[1] for line in LINES if line.startswith(f"{name} ")]


def in_context() -> Iterator[Path]:
    """What the builder is sent, as docker's own client reads .dockerignore."""
    from docker.utils.build import exclude_paths

    patterns = [
        line
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    yield from (Path(name) for name in exclude_paths(str(ROOT), patterns))


def test_the_container_file_has_no_finding() -> None:
    done = subprocess.run(
        [program("hadolint"), str(DEPLOY / "Containerfile")],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "")


def test_the_image_gets_what_it_copies_and_nothing_else() -> None:
    sent = {path.parts[0] for path in in_context() if path.name} - {".dockerignore"}
    copied = {word for line in instructions("COPY") for word in line.split()[:-1]}
    assert copied == sent
    assert copied == {
        "pyproject.toml", "constraints.txt", "README.md", "LICENSE",
        "flows", "hcp", "priors", "storage", "demo",
    }  # fmt: skip
    files = {str(path) for path in in_context()}
    assert "flows/prefect.yaml" in files
    assert not [name for name in files if name.endswith((".pyc", ".env", ".db"))]


@pytest.mark.slow
def test_the_context_is_a_whole_program(tmp_path: Path) -> None:
    for path in in_context():
        if (ROOT / path).is_file():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / path, tmp_path / path)
    code = (
        "import flows, os; from flows.names import EMBEDDED_FOLDERS, model_path\n"
        "import flows.provision, flows.rebuild, flows.train\n"
        "assert all(os.path.isdir(model_path('embedded', k)) for k in EMBEDDED_FOLDERS)\n"
        "assert flows.provision.automation_files(); print(flows.__file__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd="/", env={"PYTHONPATH": str(tmp_path), "HOME": "/tmp"},
        capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.stdout.strip() == str(tmp_path / "flows" / "__init__.py"), done.stderr


def test_the_image_runs_as_a_user_that_kubernetes_takes_for_not_root() -> None:
    assert instructions("USER") == ["1000"]
    assert "tini" in instructions("ENTRYPOINT")[-1]
    text = "\n".join(LINES)
    for needed in ("wget", "libgl1", "tini"):  # KubeRay's probes, OpenCV, signals
        assert re.search(rf"apt-get install .*\b{needed}\b", text)


def test_both_variants_and_the_extras_exist() -> None:
    import tomllib

    text = "\n".join(LINES)
    assert re.findall(r"^ARG VARIANT=(\w+)", text, re.M) == ["cuda"]
    assert "cuda) index=" in text
    assert "cpu) index=" in text
    (extras,) = re.findall(r"^ARG EXTRAS=(\S+)", text, re.M)
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(extras.split(",")) <= set(known)
    assert {"docker", "kubernetes"} <= set(extras.split(","))


def compose(tmp_path: Path, *files: str, **settings: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "env").write_text("".join(f"{k}={v}\n" for k, v in settings.items()))
    command = [program("docker-compose"), "--env-file", str(tmp_path / "env")]
    for name in files:
        command += ["-f", str(DEPLOY / name)]
    return subprocess.run(
        [*command, "config"], env={"HOME": str(tmp_path)}, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip


def services(tmp_path: Path, *files: str, **settings: str) -> dict[str, Any]:
    done = compose(tmp_path, *files, POSTGRES_PASSWORD="pw", HCP_PHOTOS="/photos", **settings)
    assert done.returncode == 0, done.stderr
    return yaml.safe_load(done.stdout)["services"]


def test_compose_takes_the_files_and_everything_is_on_postgresql(tmp_path: Path) -> None:
    found = services(tmp_path, "compose.yaml")
    assert set(found) == {"postgres", "prefect", "mlflow", "provision", "worker"}
    url = found["prefect"]["environment"]["PREFECT_API_DATABASE_CONNECTION_URL"]
    assert url == "postgresql+asyncpg://hcp:pw@postgres/prefect"
    assert "--backend-store-uri=postgresql://hcp:pw@postgres/mlflow" in found["mlflow"]["command"]
    for name, service in found.items():
        for port in service.get("ports", []):
            assert port["host_ip"] == "127.0.0.1", name  # none of them asks for a password
        built = service.get("build", {"args": {"VARIANT": "cpu"}})
        assert built["args"]["VARIANT"] == "cpu"
    worker = found["worker"]["environment"]
    assert worker["MLFLOW_TRACKING_URI"] == "http://mlflow:5000"
    assert "POSTGRES_PASSWORD" not in worker
    assert worker["AWS_ENDPOINT_URL"] is None  # not an empty text, which would be an address


def test_compose_with_gpus_and_a_store(tmp_path: Path) -> None:
    given = {"AWS_ENDPOINT_URL": "http://s3:9000", "MLFLOW_ARTIFACTS": "s3://b/mlflow"}
    found = services(tmp_path, "compose.yaml", "compose.gpu.yaml", **given)
    (device,) = found["worker"]["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["count"], device["capabilities"]) == ("nvidia", -1, ["gpu"])
    assert found["worker"]["build"]["args"]["VARIANT"] == "cuda"
    assert {service["image"] for name, service in found.items() if name != "postgres"} == {
        "hcp:cuda"
    }
    assert found["mlflow"]["environment"]["AWS_ENDPOINT_URL"] == "http://s3:9000"
    assert "--artifacts-destination=s3://b/mlflow" in found["mlflow"]["command"]


def test_compose_says_what_is_not_set(tmp_path: Path) -> None:
    done = compose(tmp_path, "compose.yaml", HCP_PHOTOS="/photos")
    assert done.returncode != 0
    assert "POSTGRES_PASSWORD is missing a value: set it in deploy/.env" in done.stderr
    done = compose(tmp_path, "compose.yaml", POSTGRES_PASSWORD="pw")
    assert "HCP_PHOTOS is missing a value: the folder of photos" in done.stderr


def test_the_example_names_each_variable_of_the_compose_file() -> None:
    used = set(re.findall(r"\$\{(\w+):\?", (DEPLOY / "compose.yaml").read_text()))
    example = (DEPLOY / "example.env").read_text()
    assert used == set(re.findall(r"^(\w+)=$", example, re.M))
