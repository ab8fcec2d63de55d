"""Where the embedded weights lie."""

import subprocess
import sys
from pathlib import Path

from demo import embedded

ROOT = Path(__file__).parents[2]


def test_every_folder_has_weights_and_their_record() -> None:
    folders = [place for name, place in vars(embedded).items() if name.endswith("_DIR")]
    assert len(folders) == 6
    for folder in folders:
        assert list(folder.rglob("*.safetensors")), folder
        assert folder == embedded.WEIGHTS_DIR or (folder / "TRAINING.json").is_file()


def test_it_imports_nothing_heavy() -> None:
    code = "import demo.embedded, sys; print([m for m in ('torch', 'numpy') if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
