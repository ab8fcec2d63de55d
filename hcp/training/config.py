"""Settings of a training: the photos, the loop, the workers. Plain data, no torch."""

from dataclasses import dataclass, field, replace
from typing import Literal

from hcp.config import HcpConfig
from hcp.training.methods.names import LoraConfig, RegionConfig, split_method, with_variants
from hcp.training.optimisers import OptimizerConfig
from hcp.training.watching import SamplesConfig, ValidationConfig

_BUCKET_STEP_PX = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixed:
    """A dataset version beside the one that a training names as its ``dataset``.

    How much of it comes is said in one of two ways, both against that ``dataset``.
    """

    dataset: str  # ROOT or ROOT@VERSION
    weight: float | None = None  # its samples for each sample of `dataset`: 0.25 is one in five
    repeats: float | None = None  # its passes for each over `dataset`; 1 where neither is given

    def __post_init__(self) -> None:
        if self.weight is not None and self.repeats is not None:
            raise ValueError(
                f"Mixed({self.dataset}): weight and repeats both say how much comes; give one, "
                f"got {self.weight} and {self.repeats}"
            )
        for name in ("weight", "repeats"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise ValueError(f"Mixed({self.dataset}).{name} must be > 0, got {value}")

    @property
    def amount(self) -> str:
        """How much of it comes, in words."""
        if self.weight is not None:
            return f"weight {self.weight:g}"
        return f"repeats {self.repeats or 1:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConfig:
    """How photos become training examples."""

    resolution_px: int | None = None  # side of a square crop, and the root of other aspects' area;
    #                                   None: the base model's own
    aspects: tuple[float, ...] = (1.0,)  # width / height of the buckets; 1.0 must be one of them
    flip_probability: float = 0.5  # share of photos that are mirrored, where the caption allows it
    caption_dropout: float = 0.1  # share of captions replaced by "" (classifier-free guidance)
    min_crop_scale: float = 1.0  # 1: always the largest crop of the bucket's aspect
    decode_threads: int = 4  # of each worker, for the next two batches
    also: tuple[Mixed, ...] = ()  # further dataset versions, mixed with the training's `dataset`

    def __post_init__(self) -> None:
        side = self.resolution_px
        if side is not None and (side < 8 or side % 8):
            raise ValueError(f"DataConfig.resolution_px must be a multiple of 8, got {side}")
        if 1.0 not in self.aspects or min(self.aspects) <= 0:
            raise ValueError(f"DataConfig.aspects must hold 1.0, got {self.aspects}")
        for name in ("flip_probability", "caption_dropout"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"DataConfig.{name} must be in [0, 1], got {getattr(self, name)}")
        if not 0 < self.min_crop_scale <= 1:
            raise ValueError(
                f"DataConfig.min_crop_scale must be in (0, 1], got {self.min_crop_scale}"
            )
        if self.decode_threads < 1:
            raise ValueError(f"DataConfig.decode_threads must be >= 1, got {self.decode_threads}")

    def bucket_px(self, aspect: float) -> tuple[int, int]:
        """(width, height) of a bucket, near the square's area, in steps of 64 px (8 when small).

        Raises:
            ValueError: ``resolution_px`` was left to a base model that nobody asked yet.
        """
        side = self.resolution_px
        if side is None:
            raise ValueError("DataConfig.resolution_px is open: TrainConfig.resolved settles it")
        step = _BUCKET_STEP_PX if side >= 4 * _BUCKET_STEP_PX else 8
        if aspect == 1.0:
            return side, side
        width, height = side * aspect**0.5, side / aspect**0.5
        return max(step, round(width / step) * step), max(step, round(height / step) * step)


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheConfig:
    """Latents and text embeddings kept on disk: what ``hcp cache`` writes and training reads."""

    use: Literal["off", "auto", "required"] = "off"  # auto: where there is one that fits
    crops: int = 1  # of each photo and aspect bucket; each also flipped where photos are flipped
    dtype: Literal["float16", "bfloat16", "float32"] = "float16"  # on disk
    batch_size: int = 8  # photos that are encoded together

    def __post_init__(self) -> None:
        if self.crops < 1 or self.batch_size < 1:
            raise ValueError(
                f"CacheConfig.crops and batch_size must be >= 1, got {self.crops} and "
                f"{self.batch_size}"
            )


Precision = Literal["auto", "float32", "bfloat16", "float16"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """How a method is trained: the loop here, the photos in ``data``, HcP layers in ``hcp``."""

    method: str = "hcp"  # hcp, hcp+residual+value+gate (each or several), lora, attention, region,
    #                      full: see hcp.training.methods.names
    steps: int = 2000  # optimizer steps
    batch_size: int = 8  # samples per worker and forward pass
    accumulate: int = 1  # forward passes per optimizer step
    learning_rate: float = 1e-4  # after the warm-up; `full` wants about a tenth
    warmup_steps: int = 50  # linear, then as optimizer.schedule says
    weight_decay: float = 1e-2  # AdamW's, beside the gradient
    max_grad_norm: float = 1.0  # longer gradients are cut to it
    ema_decay: float | None = 0.999  # None: no moving average; else it is what a checkpoint holds
    min_snr_gamma: float | None = None  # min-SNR weighting of the denoising loss; None: off
    noise_offset: float = 0.0  # standard deviations by which each channel's noise is shifted
    precision: Precision = "auto"  # auto: bfloat16 on a GPU, else float32
    gradient_checkpointing: bool = False  # less memory, more time
    compile: bool = False  # torch.compile of the base's blocks: slow first steps, faster ones then
    checkpoint_every: int = 500  # optimizer steps
    export_step: Literal["last", "best"] = "last"  # best: the checkpoint of least validation loss
    max_skipped_in_row: int = 100  # steps that are not finite; more is no accident, and ends it
    max_bad_fraction: float = 0.01  # of the train split that cannot be read; more ends the run
    seed: int = 0  # of the order, the noise, the flips and the dropped captions
    init_from: str | None = None  # checkpoint to begin with: folder, registry URI, "champion"
    any_base: bool = False  # it may be of a base with other weights and the same layout
    resnet_weights: str | None = "IMAGENET1K_V2"  # only read where the priors name "resnet50"
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    data: DataConfig = field(default_factory=DataConfig)
    cache: CacheConfig = field(default_factory=CacheConfig)
    hcp: HcpConfig = field(default_factory=HcpConfig)
    lora: LoraConfig = field(default_factory=LoraConfig)  # of lora, attention and region
    region: RegionConfig = field(default_factory=RegionConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    samples: SamplesConfig = field(default_factory=SamplesConfig)
    tensorboard: bool = False  # also event files, in the run's folder

    def __post_init__(self) -> None:
        split_method(self.method)
        positive = ("steps", "batch_size", "accumulate", "checkpoint_every", "max_skipped_in_row")
        for name in positive:
            if getattr(self, name) < 1:
                raise ValueError(f"TrainConfig.{name} must be >= 1, got {getattr(self, name)}")
        for name in ("learning_rate", "max_grad_norm"):
            if getattr(self, name) <= 0:
                raise ValueError(f"TrainConfig.{name} must be > 0, got {getattr(self, name)}")
        if self.warmup_steps < 0:
            raise ValueError(f"TrainConfig.warmup_steps must be >= 0, got {self.warmup_steps}")
        if not 0 <= self.max_bad_fraction <= 1:
            got = self.max_bad_fraction
            raise ValueError(f"TrainConfig.max_bad_fraction must be in [0, 1], got {got}")
        if self.ema_decay is not None and not 0 < self.ema_decay < 1:
            raise ValueError(f"TrainConfig.ema_decay must be in (0, 1), got {self.ema_decay}")
        if self.noise_offset < 0:
            raise ValueError(f"TrainConfig.noise_offset must be >= 0, got {self.noise_offset}")

    def rate(self, step_done: int) -> float:
        """The learning rate of the step after ``step_done`` others; of a resumed run too."""
        return self.learning_rate * self.optimizer.rate_factor(
            step_done, warmup_steps=self.warmup_steps, steps=self.steps
        )

    def plain(self) -> "TrainConfig":
        """The same with the variants that ``method`` names as fields of ``hcp``."""
        name, _ = split_method(self.method)
        if name != "hcp":
            return self
        return replace(self, method=name, hcp=with_variants(self.hcp, self.method))

    def resolved(self, *, on_gpu: bool, native_px: int) -> "TrainConfig":
        """``plain``, with the precision and resolution that the device and the base settle.

        An optimizer that averages the weights itself leaves no moving average beside its own.
        """
        precision = self.precision
        if precision == "auto":
            precision = "bfloat16" if on_gpu else "float32"
        data = replace(self.data, resolution_px=self.data.resolution_px or native_px)
        ema_decay = None if self.optimizer.averages else self.ema_decay
        return replace(self.plain(), precision=precision, data=data, ema_decay=ema_decay)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workers:
    """What Ray Train runs on."""

    count: int = 1  # processes that train together
    cpus_each: float = 0.9  # of the cluster, for one worker
    gpus_each: float | None = None  # None: the flow gives 1 where the cluster has any, else 0
    max_failures: int = 2  # restarts of the whole group after a killed worker
    keep_checkpoints: int = 2  # the last so many; that of the lowest validation loss stays too
    stop_grace_s: float = 25.0  # from SIGTERM to the driver until it ends without a checkpoint

    def __post_init__(self) -> None:
        if self.count < 1 or self.cpus_each <= 0 or (self.gpus_each or 0) < 0:
            raise ValueError(
                "Workers needs count >= 1, cpus_each > 0 and gpus_each >= 0, got "
                f"{self.count}, {self.cpus_each}, {self.gpus_each}"
            )
        if self.max_failures < 0 or self.keep_checkpoints < 1:
            raise ValueError(
                "Workers needs max_failures >= 0 and keep_checkpoints >= 1, got "
                f"{self.max_failures} and {self.keep_checkpoints}"
            )
