"""The settings of models: what they refuse, and that they load no torch."""

import subprocess
import sys
from pathlib import Path

import pytest

from priors.config import ExtractorConfig, JudgeConfig, ModelConfig, PoolConfig
from priors.weights import known_digests


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


@pytest.mark.parametrize(
    ("kind", "wrong", "said"),
    [
        (ExtractorConfig, {"imgsz": 500}, r"ExtractorConfig\.imgsz must be .* got 500"),
        (ExtractorConfig, {"decode_threads": 0}, "sizes must be >= 1"),
        (PoolConfig, {"cpus_each": 0.0}, "cpus_each > 0"),
        (PoolConfig, {"gpus_each": -0.5}, "nothing below 0"),
        (PoolConfig, {"max_attempts": 0}, r"max_attempts must be >= 1, got 0"),
    ],
)
def test_what_no_extraction_can_have_is_refused(kind: type, wrong: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        kind(**wrong)


def test_by_default_the_judge_is_not_the_extractors_model() -> None:
    """Both load without ``trust_weights``: their digests are in the table."""
    judge, teacher = JudgeConfig().weights, ExtractorConfig().pose_model
    assert known_digests(judge)
    assert not set(known_digests(judge)) & set(known_digests(teacher))
