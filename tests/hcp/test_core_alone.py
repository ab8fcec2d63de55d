"""The adapter where only the core is installed: load, attach, generate, train, save, load again."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
ABSENT = (
    "accelerate", "cv2", "imagehash", "mlflow", "peft", "prefect", "psutil", "pyarrow",
    "pycocotools", "ray", "s3fs", "segment_anything", "sqlalchemy", "torchmetrics", "torchvision",
    "ultralytics", "webdataset",
)  # fmt: skip

SCRIPT = f"""
import sys
sys.modules.update(dict.fromkeys({ABSENT!r}))  # import and find_spec: not installed

import numpy as np
import torch
from hcp import HcpAdapter, HcpConfig
from hcp.base import load_base
from hcp.training.batches import collate, iter_batches
from hcp.training.examples import DataConfig
from hcp.training.state import save_checkpoint
from hcp.training.trainer import TrainConfig, Trainer, train_steps
from tests.hcp.samples import epoch_source, make_sample

def draw(prompt):
    generator = torch.Generator().manual_seed(3)
    return base(prompt, num_inference_steps=2, generator=generator, output_type="np").images

base = load_base("demo/weights/sd")
config = TrainConfig(steps=2, batch_size=2, hcp=HcpConfig(width=16),
                     data=DataConfig(resolution_px=64, decode_threads=1))
trainer = Trainer(base, config)
batches = iter_batches(
    epoch_source([make_sample(i, caption="a woman jumping") for i in range(4)]),
    lambda examples: collate(examples, tokenizer=base.tokenizer),
    batch_size=2, config=config.data, seed=0, state=trainer.loader,
)
assert [m.step for m in train_steps(trainer, batches, until=2)] == [1, 2]
save_checkpoint(sys.argv[1], trainer)
trainer.close()

plain = draw("a woman jumping")
adapter = HcpAdapter.from_pretrained(sys.argv[1]).attach(base)
assert not np.array_equal(draw("a woman jumping"), plain)
adapter.detach()
assert np.array_equal(draw("a woman jumping"), plain)
assert not {{name for name in {ABSENT!r} if sys.modules[name] is not None}}
"""


def test_the_adapter_works_with_the_core_alone(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "checkpoint")]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
