"""Settings of models, extractors and their pool.

Nothing here loads torch, so that the flows' parameters can hold them.
"""

from dataclasses import dataclass, field

from priors.gate import GateConfig
from storage.layout import Root
from storage.sources import Source


def _check_imgsz(config: str, imgsz: int) -> None:
    if imgsz < 32 or imgsz % 32:
        raise ValueError(f"{config}.imgsz must be a multiple of 32, got {imgsz}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """One model: its weights, and how it runs."""

    weights: str = "yolo11n-pose.pt"  # known name, path or URL
    imgsz: int = 640  # side of a YOLO's square input, px; a Sam has its own
    batch_size: int = 8  # photos
    half: bool | None = None  # half precision on a GPU, float32 on a CPU; False: always float32
    trust_weights: bool = False  # load pickles of unknown digest

    def __post_init__(self) -> None:
        _check_imgsz("ModelConfig", self.imgsz)
        if self.batch_size < 1:
            raise ValueError(f"ModelConfig.batch_size must be >= 1, got {self.batch_size}")


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeConfig(ModelConfig):
    """The pose model that judges pictures; by default a larger one than the extractor's."""

    weights: str = "yolo11m-pose.pt"  # known name, path or URL; not what made the priors


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskMending:
    """Small faults of a person's mask that are mended before it is stored."""

    enabled: bool = True  # False: masks as the model gives them
    max_hole_fraction: float = 0.002  # of the mask's area: such holes are filled; larger ones,
    #                                   as between an arm and the body, stay
    max_speck_fraction: float = 0.005  # of the mask's area: such pieces are removed where ...
    min_speck_distance: float = 0.1  # ... they are so far from the rest, in square roots of the
    #                                  mask's area; nearer ones, such as a hand, stay

    def __post_init__(self) -> None:
        if not min(self.max_hole_fraction, self.max_speck_fraction) >= 0:
            raise ValueError(f"MaskMending fractions must be >= 0, got {self}")
        if not max(self.max_hole_fraction, self.max_speck_fraction) < 0.5:
            raise ValueError(f"MaskMending fractions must be < 0.5, got {self}")
        if not self.min_speck_distance >= 0:
            raise ValueError(
                f"MaskMending.min_speck_distance must be >= 0, got {self.min_speck_distance}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractorConfig:
    """What an extractor computes, and with what."""

    pose_model: str = "yolo11n-pose.pt"  # name, path or URL
    mask_model: str = "sam_vit_h"  # a Sam or a yolo-seg: name, path or URL
    imgsz: int = 640  # side of the square input of pose and yolo-seg, px
    half: bool | None = None  # half precision on a GPU, float32 on a CPU; False: always float32
    batch_size: int = 8  # photos
    mask_batch_size: int = 8  # photos
    trust_weights: bool = False  # load pickles of unknown digest
    decode_threads: int = 2  # photos decoded at a time, beside the models
    mending: MaskMending = field(default_factory=MaskMending)

    def __post_init__(self) -> None:
        if min(self.batch_size, self.mask_batch_size, self.decode_threads) < 1:
            raise ValueError(f"ExtractorConfig sizes must be >= 1, got {self}")
        _check_imgsz("ExtractorConfig", self.imgsz)

    @property
    def pose(self) -> ModelConfig:
        """The pose model's own settings."""
        return self._model(self.pose_model, self.batch_size)

    @property
    def masks(self) -> ModelConfig:
        """The mask model's own settings."""
        return self._model(self.mask_model, self.mask_batch_size)

    def _model(self, weights: str, batch_size: int) -> ModelConfig:
        return ModelConfig(
            weights=weights,
            imgsz=self.imgsz,
            batch_size=batch_size,
            half=self.half,
            trust_weights=self.trust_weights,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolConfig:
    """How many extractors there are, and what each of them gets."""

    count: int = 0  # at most so many; 0: as many as fit
    cpus_each: float = 1.0  # of the cluster, for one extractor
    gpus_each: float | None = None  # None: the flow gives 1 where the cluster has any, else 0
    memory_gib_each: float | None = None  # of the machine's; None: estimated; 0: not looked at
    decode_cpus: int = 0  # of the cluster, that decode for the extractors; 0: their own
    spare: int | None = None  # workers beyond those that fit now, for nodes that join later; None:
    #                           the flow gives 4 on a cluster of ray_address, 0 on a local Ray
    max_attempts: int = 3  # of a unit that kills its worker, before the guilty photo is looked for

    def __post_init__(self) -> None:
        others = self.count, self.decode_cpus, *(
            each or 0 for each in (self.gpus_each, self.memory_gib_each, self.spare)
        )  # fmt: skip
        if self.cpus_each <= 0 or min(others) < 0:
            raise ValueError(f"PoolConfig needs cpus_each > 0, and nothing below 0, got {self}")
        if self.max_attempts < 1:
            raise ValueError(f"PoolConfig.max_attempts must be >= 1, got {self.max_attempts}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Extraction:
    """What is extracted from where to where, and how; pickles, so that an actor takes it whole."""

    source: Source
    root: Root  # of the data set that gets the shards
    config: ExtractorConfig = field(default_factory=ExtractorConfig)
    gate: GateConfig = field(default_factory=GateConfig)
    device: str = "auto"  # auto: cuda where the process sees a GPU
