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


@pytest.mark.parametrize(("given", "n"), [("0", 1), ("", 0), ("-1", 0), (None, 0)])
def test_a_gpu_that_was_given_and_is_not_seen_is_told_of_once(
    given: str | None, n: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    if given is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    assert [resolve_device("auto"), resolve_device("auto"), resolve_device("cpu")] == ["cpu"] * 3
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == n
    assert all("torch's CUDA build" in text and "device: cpu" in text for text in told)


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
