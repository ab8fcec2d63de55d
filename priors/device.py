"""Which device a process computes on."""


def resolve_device(name: str) -> str:
    """'auto' becomes 'cuda' where this process sees a GPU, else 'cpu'; other names stay."""
    if name != "auto":
        return name
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def runs_in_half(half: bool | None, device: str) -> bool:
    """Whether a model computes in half precision there: on a GPU, unless ``half`` is False."""
    return half is not False and device.startswith("cuda")


def describe_gpus() -> str | None:
    """Number and name of the GPUs that this process sees; None without one."""
    import torch

    if not torch.cuda.is_available():
        return None
    return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name(0)}"
