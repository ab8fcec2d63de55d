"""Which device a process computes on."""

import logging
import os
from functools import cache

logger = logging.getLogger(__name__)


def resolve_device(name: str) -> str:
    """'auto' becomes 'cuda' where this process sees a GPU, else 'cpu'; other names stay."""
    if name != "auto":
        return name
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if (given := os.environ.get("CUDA_VISIBLE_DEVICES", "")) not in ("", "-1"):
        _warn_of_unseen(given)
    return "cpu"


@cache
def _warn_of_unseen(given: str) -> None:
    """Once per process: Ray gave it a GPU of its node, which it cannot use."""
    logger.warning(
        "GPU %s was given to this process, and its torch sees none: it computes on the CPU. On "
        "this node install NVIDIA's driver (nvidia-smi) and torch's CUDA build, or start the "
        "container with its GPU (docker run --gpus all); to mean the CPU, say device: cpu", given,
    )  # fmt: skip


def runs_in_half(half: bool | None, device: str) -> bool:
    """Whether a model computes in half precision there: on a GPU, unless ``half`` is False."""
    return half is not False and device.startswith("cuda")


def describe_gpus() -> str | None:
    """Number and name of the GPUs that this process sees; None without one."""
    import torch

    if not torch.cuda.is_available():
        return None
    return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name(0)}"
