"""The device of a process."""

import pytest
import torch

from priors.device import describe_gpus, resolve_device, runs_in_half


@pytest.mark.parametrize("name", ["cpu", "cuda", "cuda:1"])
def test_a_named_device_stays(name: str) -> None:
    assert resolve_device(name) == name


@pytest.mark.parametrize(("there", "device"), [(True, "cuda"), (False, "cpu")])
def test_auto_is_what_the_process_sees(
    there: bool, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert resolve_device("auto") == device


@pytest.mark.parametrize(
    ("half", "device", "expected"),
    [(None, "cuda", True), (None, "cpu", False), (True, "cpu", False), (True, "cuda:1", True),
     (False, "cuda", False)],
)  # fmt: skip
def test_half_precision_is_a_gpus_default(half: bool | None, device: str, expected: bool) -> None:
    assert runs_in_half(half, device) == expected


def test_no_gpu_is_said_plainly() -> None:
    described = describe_gpus()
    assert (described is not None) == torch.cuda.is_available()
    assert described is None or described.startswith(f"{torch.cuda.device_count()} x ")
