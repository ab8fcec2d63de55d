"""What is looked at while a training runs: the settings, and what was seen; no torch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from hcp.training.metrics import StepMetrics

SAMPLES_FOLDER = "samples"


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationConfig:
    """How the validation loss is measured: the same photos, noise and noise levels every time."""

    every: int | None = 500  # optimizer steps; also before the first, at each checkpoint and at the
    #                          end; 0 or None: never
    photos: int = 32  # of the val split, at most
    noise_levels: tuple[float, ...] = (0.1, 0.35, 0.6, 0.85)  # shares of the noise schedule
    seed: int = 0  # of the photos' crops and noise

    def __post_init__(self) -> None:
        if (self.every or 0) < 0 or self.photos < 1:
            raise ValueError(
                "ValidationConfig needs every >= 0 and photos >= 1, got "
                f"{self.every} and {self.photos}"
            )
        if not self.noise_levels or not all(0 <= level < 1 for level in self.noise_levels):
            raise ValueError(
                f"ValidationConfig.noise_levels must be in [0, 1), got {self.noise_levels}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplesConfig:
    """Which pictures are drawn while a training runs: one row a prompt, one column a seed."""

    every: int | None = None  # optimizer steps; also before the first (the base) and at the end;
    #                           0 or None: never
    prompts: tuple[str, ...] = (
        "a woman doing yoga in a park",
        "two people dancing on a stage",
        "a man riding a bicycle down a street",
    )  # one row each
    seeds: tuple[int, ...] = (0, 1, 2, 3)  # each prompt is drawn once per seed
    steps: int = 30  # sampling steps
    guidance: float = 7.5  # classifier-free, 1 is off
    size_px: int | None = None  # side of the square pictures; None: the training's resolution

    def __post_init__(self) -> None:
        if (self.every or 0) < 0 or self.steps < 1:
            raise ValueError(
                f"SamplesConfig needs every >= 0 and steps >= 1, got {self.every} and {self.steps}"
            )
        if not self.prompts or not self.seeds:
            raise ValueError("SamplesConfig needs prompts and seeds; every = 0 draws no pictures")
        if self.size_px is not None and (self.size_px < 8 or self.size_px % 8):
            raise ValueError(f"SamplesConfig.size_px must be a multiple of 8, got {self.size_px}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """The losses of held-out photos after a step, with the weights that a checkpoint holds."""

    step: int  # 0: before the first
    loss: float  # denoising loss, mean over photos and noise levels; the same for every method
    by_noise_level: Mapping[str, float] = field(default_factory=dict[str, float])
    alignment: float | None = None  # as the training counts it, before alpha; None: not measured
    alignment_by_stage: Mapping[str, float] = field(default_factory=dict[str, float])
    attention_share: float | None = None  # of the human words' attention inside the person masks
    attention_share_by_stage: Mapping[str, float] = field(default_factory=dict[str, float])
    photos: int = 0  # that were measured


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleGrid:
    """The pictures after a step, in one PNG."""

    step: int  # 0: before the first, the base's
    png: bytes

    @property
    def name(self) -> str:
        """Where it lies in the run's folder."""
        return f"{SAMPLES_FOLDER}/step-{self.step:08d}.png"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStart:
    """A run that begins or goes on."""

    run: str  # its name
    folder: str  # its URI
    last_step: int = 0  # that the folder has already; 0: the run is new


Event = RunStart | StepMetrics | Validation | SampleGrid
"""What the driver is told, in this order for each step."""

OnEvent = Callable[[Event], None]

_STEP_VALUES = (
    "loss", "denoise", "alignment", "attention_share", "learning_rate", "grad_norm",
    "images_per_s", "data_wait", "device_memory_mib", "epoch", "skipped", "bad_samples",
)  # fmt: skip


def curves(seen: StepMetrics | Validation) -> dict[str, float]:
    """The values by the names that MLflow and TensorBoard show; what was not measured is absent."""
    if isinstance(seen, StepMetrics):
        values = {name: getattr(seen, name, None) for name in _STEP_VALUES}
        values |= {f"alignment/{k}": v for k, v in seen.alignment_by_stage.items()}
    else:
        values = {
            "validation/loss": seen.loss,
            "validation/alignment": seen.alignment,
            "validation/attention_share": seen.attention_share,
        }
        for title, part in (
            ("loss_at", seen.by_noise_level),
            ("alignment", seen.alignment_by_stage),
            ("attention_share", seen.attention_share_by_stage),
        ):
            values |= {f"validation/{title}/{name}": value for name, value in part.items()}
    return {name: float(value) for name, value in values.items() if value is not None}


def due(every: int | None, step: int, *, last: int) -> bool:
    """Whether what is done every so many steps, before the first and after the last is due now."""
    return bool(every) and (step == last or step % (every or 1) == 0)
