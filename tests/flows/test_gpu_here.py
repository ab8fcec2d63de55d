"""What a process without a GPU is told."""

from dataclasses import replace

import pytest

from flows.gpu_here import Surroundings, surroundings, why_no_gpu

PLAIN = Surroundings(
    container=False, kubernetes=False, device=False, cpu_build=False, hidden=False
)  # fmt: skip
CONTAINER = replace(PLAIN, container=True)


def test_a_container_of_cuda_without_a_gpu_is_told_how_to_get_one() -> None:
    told = why_no_gpu(CONTAINER)
    assert told is not None
    for word in ("sees no GPU", "docker run --gpus all", "compose.gpu.yaml", "container toolkit"):
        assert word in told
    assert "device cpu" in told
    pod = why_no_gpu(replace(CONTAINER, kubernetes=True))
    assert pod is not None
    assert "nvidia.com/gpu: 1" in pod
    assert "docker" not in pod


def test_a_container_of_the_cpu_is_silent_until_a_gpu_is_asked_for() -> None:
    cpu = replace(CONTAINER, cpu_build=True)
    assert why_no_gpu(cpu) is None
    told = why_no_gpu(cpu, asked=True)
    assert told is not None
    assert "image is for the CPU: build the image with HCP_VARIANT=cuda" in told
    assert "--gpus all" in told


def test_a_gpu_that_is_there_and_not_used_is_told_of() -> None:
    there = replace(PLAIN, device=True)
    assert "torch is built for the CPU" in str(why_no_gpu(replace(there, cpu_build=True)))
    assert "CUDA_VISIBLE_DEVICES" in str(why_no_gpu(replace(there, hidden=True)))
    assert why_no_gpu(there) is None  # a driver's fault: torch's own words tell of it


def test_a_machine_without_one_is_told_of_only_where_one_was_asked_for() -> None:
    assert why_no_gpu(PLAIN) is None
    assert "nvidia-smi" in str(why_no_gpu(PLAIN, asked=True))


def test_what_is_around_is_read_from_image_and_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HCP_IMAGE_VARIANT", "cuda")
    assert surroundings().container
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    here = surroundings()
    assert (here.kubernetes, here.hidden) == (True, True)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert not surroundings().hidden
