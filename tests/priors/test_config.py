"""The settings of models: what they refuse, and that they load no torch."""

import subprocess
import sys
from pathlib import Path

import pytest

from priors.config import ModelConfig


@pytest.mark.parametrize(
    ("field", "value"), [("imgsz", 100), ("imgsz", 0), ("batch_size", 0), ("batch_size", -1)]
)
def test_a_size_that_no_model_can_have_is_refused(field: str, value: int) -> None:
    with pytest.raises(ValueError, match=rf"ModelConfig\.{field} must be .*, got {value}"):
        ModelConfig(**{field: value})


def test_settings_load_no_torch() -> None:
    code = "import priors.config, sys\nassert not {'torch', 'ray'} & set(sys.modules)"
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", code], cwd=root, check=True, timeout=60)
