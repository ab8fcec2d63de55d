"""The import rules of docs/architecture.md, as tests."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("flows", "priors", "hcp", "storage", "demo")

MAY_IMPORT = {
    "storage": set(),
    "priors": {"storage"},
    "hcp": {"storage"},
    "flows": {"priors", "hcp", "storage", "demo"},  # demo: only the `hcp demo` command
    "demo": {"flows", "priors", "hcp", "storage"},
}
OWNERS = {
    "prefect": {"flows"},
    "ray": {"flows", "priors", "hcp"},
    "torch": {"priors", "hcp"},
    "ultralytics": {"priors"},
    "segment_anything": {"priors"},
    "diffusers": {"hcp"},
    "transformers": {"hcp"},
    "webdataset": {"storage"},
    "pyarrow": {"storage"},
    "fsspec": {"storage"},
    "mlflow": {"storage"},
}
RAY_MODULES = {
    "flows/ray_session.py",
    "priors/pool.py",
    "priors/remote_decode.py",
    "hcp/training/ray.py",
}


def modules(package: str) -> Iterator[Path]:
    yield from sorted((ROOT / package).rglob("*.py"))


def imported(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module, node.lineno


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_only_downwards(package: str) -> None:
    allowed = MAY_IMPORT[package] | {package}
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in modules(package)
        for name, line in imported(path)
        if name.split(".")[0] in PACKAGES and name.split(".")[0] not in allowed
    ]
    assert not wrong


@pytest.mark.parametrize("package", [p for p in PACKAGES if p != "demo"])
def test_a_library_is_imported_only_by_its_owner(package: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in modules(package)
        for name, line in imported(path)
        if package not in OWNERS.get(name.split(".")[0], {package})
    ]
    assert not wrong


def test_ray_stays_in_the_shell_modules() -> None:
    found = {
        str(path.relative_to(ROOT))
        for package in ("flows", "priors", "hcp")
        for path in modules(package)
        if any(name.split(".")[0] == "ray" for name, _ in imported(path))
    }
    assert found <= RAY_MODULES


def test_only_the_demo_command_imports_demo() -> None:
    found = {
        str(path.relative_to(ROOT))
        for path in modules("flows")
        if any(name.split(".")[0] == "demo" for name, _ in imported(path))
    }
    assert found <= {"flows/cli.py", "flows/names.py"}


@pytest.mark.parametrize("statement", ["import flows", "import flows.cli", "import storage"])
def test_light_imports(statement: str) -> None:
    code = (
        f"{statement}\nimport sys\n"
        "heavy = {'torch', 'ray', 'diffusers', 'ultralytics', 'webdataset'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=120)


@pytest.mark.parametrize("package", [p for p in PACKAGES if p != "demo"])
def test_every_module_says_what_it_is_for(package: str) -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in modules(package)
        if path.read_text().strip() and ast.get_docstring(ast.parse(path.read_text())) is None
    ]
    assert not silent
