"""A library that is missing is told with the extra that brings it."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from storage.errors import MissingExtraError
from storage.extras import explained_imports

ROOT = Path(__file__).parents[2]


def test_a_missing_library_is_told_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    message = r"mlflow .* pip install 'hcp\[train\]'"
    with pytest.raises(MissingExtraError, match=message), explained_imports():
        import_module("mlflow")
    with pytest.raises(ModuleNotFoundError, match="no_library_of_ours"), explained_imports():
        import_module("no_library_of_ours")


def test_a_missing_file_system_is_told_with_its_extra() -> None:
    code = "import sys; sys.modules['s3fs'] = None\n"
    code += "from storage.locations import exists; exists('s3://bucket/root')"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )  # in a process of its own: fsspec keeps file systems that were opened once
    assert "s3fs is not installed; it comes with pip install 'hcp[s3]'" in done.stderr
