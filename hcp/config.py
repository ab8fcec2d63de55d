"""Settings of the HcP layers and of their alignment loss; plain data, no torch."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from math import isfinite
from typing import Any, Literal, get_args

Stage = Literal["down", "mid", "up"]
Activation = Literal["gelu", "silu", "relu"]
Gate = Literal["fixed", "zero"]
Start = Literal["flat", "residual"]
Value = Literal["frozen", "learned", "own", "pixel"]
Distance = Literal["cosine", "centred_cosine"]
Schedule = Literal["early", "late", "constant", "off"]
FileDtype = Literal["float32", "float16", "bfloat16"]
Prior = Literal["heatmap", "mask", "resnet50"]

STAGES: tuple[Stage, ...] = get_args(Stage)

HCP_VARIANTS: Mapping[str, Mapping[str, str]] = {
    "residual": {"start": "residual"},
    "value": {"value": "learned"},
    "own": {"value": "own"},
    "pixel": {"value": "pixel"},
    "gate": {"gate": "zero"},
}
"""What may follow ``hcp+``: the fields of ``HcpConfig`` that it sets."""


def _check_choice(name: str, value: object, choices: object) -> None:
    allowed = get_args(choices)
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTable:
    """When in the noise schedule each U-Net stage is aligned (scale-aware, step-wise weights).

    Our reading: coarse structure is decided early (large t) in the bottleneck, detail late.
    """

    down: Schedule = "off"  # of lambda(t): early is sin(pi/2 t/T), late is cos(pi/2 t/T)
    mid: Schedule = "early"  # early: aligned most where it is noisy
    up: Schedule = "late"  # late: aligned most where it is nearly clean

    def __post_init__(self) -> None:
        for stage in STAGES:
            _check_choice(f"StageTable.{stage}", self.of(stage), Schedule)

    def of(self, stage: Stage) -> Schedule:
        """The schedule of one stage."""
        return getattr(self, stage)


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorTable:
    """Which priors a human word's attention is compared with, by the kind of word (ours).

    Several priors are averaged after each was scaled to a maximum of 1.
    """

    person: tuple[Prior, ...] = ("heatmap", "mask")  # words such as "woman"
    action: tuple[Prior, ...] = ("heatmap",)  # words such as "jumping"
    body: tuple[Prior, ...] = ("heatmap",)  # parts of the body

    def __post_init__(self) -> None:
        for kind, priors in self.by_kind().items():
            if not priors or len(set(priors)) != len(priors):
                raise ValueError(f"PriorTable.{kind} needs one or more different priors: {priors}")
            for prior in priors:
                _check_choice(f"PriorTable.{kind}", prior, Prior)

    def by_kind(self) -> dict[str, tuple[Prior, ...]]:
        """The table as a mapping, in the order of ``hcp.targets.KINDS``."""
        return {"person": self.person, "action": self.action, "body": self.body}

    def names(self) -> tuple[Prior, ...]:
        """Every prior that some kind of word needs, each once."""
        return tuple(dict.fromkeys(p for priors in self.by_kind().values() for p in priors))


@dataclass(frozen=True, slots=True, kw_only=True)
class AlignmentConfig:
    """The human-centric alignment loss: ``L = L_denoise + alpha * sum_stage lambda(t) * L_l``."""

    alpha: float = 0.1  # weight of the whole term, dimensionless (our reading)
    distance: Distance = "cosine"  # of a word's map from its prior; centred: without their means
    stages: StageTable = field(default_factory=StageTable)
    priors: PriorTable = field(default_factory=PriorTable)

    def __post_init__(self) -> None:
        if not (isfinite(self.alpha) and self.alpha >= 0):
            raise ValueError(f"AlignmentConfig.alpha must be finite and >= 0, got {self.alpha}")
        _check_choice("AlignmentConfig.distance", self.distance, Distance)


@dataclass(frozen=True, slots=True, kw_only=True)
class HcpConfig:
    """Which cross-attentions get an HcP layer, what it looks like, how it is trained."""

    width: int = 1024  # hidden width of the MLP phi (HcP paper, figure; the number is our reading)
    activation: Activation = "gelu"  # between phi's layers (our reading)
    gamma: float = 1.0  # M^ = M + gamma g (M_h o m) (our reading)
    gate: Gate = "fixed"  # "fixed": g = 1, the paper; "zero": g is learned from 0 (ours)
    start: Start = "flat"  # K_h = phi(C); "residual": W_k C + phi(C), phi from 0 (ours)
    value: Value = "frozen"  # V_h = V; ours: learned V + psi(C), own psi(C), pixel psi(C) + chi(X)
    stages: tuple[Stage, ...] = ("mid", "up")  # of the U-Net, whose cross-attentions get a layer
    map_scales: tuple[int, ...] | None = None  # latent px per map px (1, 2, 4, 8); None: all
    init_seed: int = 0  # of phi's weights
    alignment: AlignmentConfig = field(default_factory=AlignmentConfig)

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ValueError(f"HcpConfig.width must be >= 1, got {self.width}")
        if not isfinite(self.gamma):
            raise ValueError(f"HcpConfig.gamma must be finite, got {self.gamma}")
        _check_choice("HcpConfig.activation", self.activation, Activation)
        _check_choice("HcpConfig.gate", self.gate, Gate)
        _check_choice("HcpConfig.start", self.start, Start)
        _check_choice("HcpConfig.value", self.value, Value)
        if not self.stages or len(set(self.stages)) != len(self.stages):
            raise ValueError(
                f"HcpConfig.stages needs one or more different stages, got {self.stages}"
            )
        for stage in self.stages:
            _check_choice("HcpConfig.stages", stage, Stage)
        if self.map_scales is not None and (
            not self.map_scales or any(scale < 1 for scale in self.map_scales)
        ):
            raise ValueError(f"HcpConfig.map_scales must be >= 1 each, got {self.map_scales}")

    def to_json(self) -> dict[str, object]:
        """The config as JSON-able data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> "HcpConfig":
        """Inverse of ``to_json``.

        Raises:
            ValueError: a field is unknown or out of range, or has the wrong shape.
        """
        try:
            fields = _with_tuples(data)
            alignment = _with_tuples(fields.pop("alignment", {}))
            alignment["stages"] = StageTable(**_with_tuples(alignment.get("stages", {})))
            alignment["priors"] = PriorTable(**_with_tuples(alignment.get("priors", {})))
            return cls(**fields, alignment=AlignmentConfig(**alignment))
        except (TypeError, AttributeError) as error:
            raise ValueError(f"not an HcP config: {error}") from error


def _with_tuples(data: object) -> dict[str, Any]:  # Any: the dataclasses check the values
    if not isinstance(data, Mapping):
        raise TypeError(f"expected an object, got {type(data).__name__}")
    return {str(k): tuple(v) if isinstance(v, list) else v for k, v in data.items()}
