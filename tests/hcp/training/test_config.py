"""Settings of a training, and what the device and the base settle."""

import subprocess
import sys
from pathlib import Path

import pytest

from hcp.training.config import DataConfig, TrainConfig, Workers

ROOT = Path(__file__).parents[3]


def test_the_settings_load_without_torch() -> None:
    code = (
        "import hcp.training.config, priors.gate, hcp.evaluation.promotion\n"
        "import sys; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)


def test_a_gpu_trains_in_half_precision_at_the_bases_resolution() -> None:
    config = TrainConfig()
    on_gpu = config.resolved(on_gpu=True, native_px=1024)
    assert (on_gpu.precision, on_gpu.data.resolution_px) == ("bfloat16", 1024)
    assert config.resolved(on_gpu=False, native_px=512).precision == "float32"


def test_what_is_said_stays() -> None:
    said = TrainConfig(precision="float32", data=DataConfig(resolution_px=256))
    assert said.resolved(on_gpu=True, native_px=1024) == said


def test_an_open_resolution_has_no_buckets_yet() -> None:
    with pytest.raises(ValueError, match="resolution_px is open"):
        DataConfig().bucket_px(1.0)


@pytest.mark.parametrize(
    "wrong",
    [{"count": 0}, {"cpus_each": 0}, {"gpus_each": -1.0}, {"max_failures": -1},
     {"keep_checkpoints": 0}],
)  # fmt: skip
def test_workers_that_cannot_be(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="Workers needs"):
        Workers(**wrong)
