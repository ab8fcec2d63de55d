"""Settings of the models; nothing here loads torch, so that the flows' parameters can hold them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """One model: its weights, and how it runs."""

    weights: str = "yolo11n-pose.pt"  # known name, path or URL
    imgsz: int = 640  # side of a YOLO's square input, px; a Sam has its own
    batch_size: int = 8  # photos
    half: bool | None = None  # half precision on a GPU, float32 on a CPU; False: always float32
    device: str = "auto"  # auto: cuda where the process sees a GPU
    trust_weights: bool = False  # load pickles of unknown digest

    def __post_init__(self) -> None:
        if self.imgsz < 32 or self.imgsz % 32:
            raise ValueError(f"ModelConfig.imgsz must be a multiple of 32, got {self.imgsz}")
        if self.batch_size < 1:
            raise ValueError(f"ModelConfig.batch_size must be >= 1, got {self.batch_size}")
