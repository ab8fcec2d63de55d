"""What is known of each optimizer step; plain data, no torch."""

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from math import isfinite, nan
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class StepMetrics:
    """One optimizer step; the losses are means over the workers."""

    step: int  # 1-based
    loss: float
    denoise: float
    alignment: float  # weighted by lambda(t), before alpha
    learning_rate: float
    grad_norm: float  # before clipping
    images_per_s: float  # of this worker, waiting for data included
    epoch: int
    skipped: int = 0  # steps of the run so far whose loss or gradient was not finite
    bad_samples: int = 0  # distinct training samples so far that could not be read
    alignment_by_stage: Mapping[str, float] = field(default_factory=dict[str, float])
    """Before lambda, of the samples with human words; stages without a loss are left out."""
    attention_share: float | None = None  # of the human words' attention inside the person masks
    data_wait: float | None = None  # share of the step's time that went by waiting for its batches
    device_memory_mib: float | None = None
    """Most at a time so far: what torch took of a GPU, on a CPU what the process has."""


_FIELDS = {field.name for field in fields(StepMetrics)}
_NEEDED = {
    field.name for field in fields(StepMetrics)
    if field.default is MISSING and field.default_factory is MISSING
}  # fmt: skip


def to_json(metrics: StepMetrics) -> dict[str, Any]:
    """As JSON-able data, which has no NaN: what is not finite, in a skipped step, becomes null."""
    return _plain(asdict(metrics))


def from_json(data: Mapping[str, Any]) -> StepMetrics:
    """Inverse of :func:`to_json`; fields of a later version are left out."""
    found = {name: value for name, value in data.items() if name in _FIELDS}
    found |= {name: nan for name in _NEEDED if found.get(name) is None}
    return StepMetrics(**found)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return None if isinstance(value, float) and not isfinite(value) else value
