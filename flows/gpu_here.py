"""Why this process sees no GPU, and what to do about it: containers above all. Loads no torch."""

import logging
import os
from dataclasses import dataclass
from glob import glob
from importlib.metadata import PackageNotFoundError, version

logger = logging.getLogger(__name__)

_CONTAINER_SIGNS = ("/.dockerenv", "/run/.containerenv")
_DEVICES = ("/dev/nvidia[0-9]*", "/dev/dxg")  # Linux, and Linux inside Windows


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What tells why there is no GPU."""

    container: bool  # any kind of it
    kubernetes: bool
    device: bool  # NVIDIA's device files are there
    cpu_build: bool  # the installed torch cannot use one
    hidden: bool  # CUDA_VISIBLE_DEVICES names none


def surroundings() -> Surroundings:
    """Of this process."""
    pod = "KUBERNETES_SERVICE_HOST" in os.environ
    image = os.environ.get("HCP_IMAGE_VARIANT")  # set in deploy/Containerfile
    try:
        torch = version("torch")
    except PackageNotFoundError:
        torch = ""
    return Surroundings(
        container=pod or image is not None or any(map(os.path.exists, _CONTAINER_SIGNS)),
        kubernetes=pod,
        device=any(glob(pattern) for pattern in _DEVICES),
        cpu_build=torch.endswith("+cpu"),
        hidden=os.environ.get("CUDA_VISIBLE_DEVICES", "all").strip() in ("", "-1"),
    )


def why_no_gpu(here: Surroundings, *, asked: bool = False) -> str | None:
    """A sentence on what is missing and what to do, for a process that sees no GPU.

    Args:
        here: where it runs.
        asked: a GPU was asked for; else a machine that has none is nothing to speak of.

    Returns:
        None where nothing is wrong.
    """
    if here.device and here.cpu_build:
        return f"there is a GPU, but torch is built for the CPU: {_cuda_build(here)}"
    if here.device and here.hidden:
        return "there is a GPU, but CUDA_VISIBLE_DEVICES names none: unset it, or name one (0)"
    if here.container and not here.cpu_build and not here.device:
        return (
            "this container sees no GPU, though its torch is built for one: "
            f"{_give_gpu(here)}; to compute on the CPU, say so (device cpu, or an image built "
            "with VARIANT=cpu)"
        )
    if not asked:
        return None
    if here.container and here.cpu_build:
        return f"this container's image is for the CPU: {_cuda_build(here)}, and {_give_gpu(here)}"
    return (
        "this machine shows no GPU (nvidia-smi lists those that the driver has): run on one that "
        "has, or ask for none (workers.gpus_each 0, device cpu)"
    )


def asked_gpu_missing() -> str:
    """What a message adds where a GPU was asked for and there is none; begins with its mark."""
    why = why_no_gpu(surroundings(), asked=True)
    return f"; {why}" if why else ""


def warn_of_missing_gpu() -> None:
    """Warn if a GPU is missing that should be here."""
    if why := why_no_gpu(surroundings()):
        warn_in_run(why)


def warn_in_run(text: str) -> None:
    """Warn in the flow run's log, where there is one."""
    from prefect.exceptions import MissingContextError
    from prefect.logging import get_run_logger

    try:
        get_run_logger().warning(text)
    except MissingContextError:
        logger.warning(text)


def _cuda_build(here: Surroundings) -> str:
    if here.container:
        return "build the image with HCP_VARIANT=cuda deploy/image build"
    return "install torch from the package index, not from PyTorch's index of CPU builds"


def _give_gpu(here: Surroundings) -> str:
    if here.kubernetes:
        return (
            "give the pod one (resources.limits nvidia.com/gpu: 1, in the work pool the job "
            "variable gpus) on a node with NVIDIA's device plugin"
        )
    return (
        "start it with `docker run --gpus all` (compose: add -f deploy/compose.gpu.yaml; a docker "
        "work pool: the job variable device_requests), with NVIDIA's driver and container toolkit "
        "on the machine"
    )
