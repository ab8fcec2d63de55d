"""What several flow tests run: the embedded models on drawn photos."""

from pathlib import Path

from demo.embedded import POSE_PX
from demo.world.dataset import DrawnFolder
from flows.params import RebuildParams
from priors.config import ExtractorConfig, PoolConfig

ROOT = Path(__file__).parents[2]


def rebuild_params(drawn: DrawnFolder, root: Path) -> RebuildParams:
    """Units of about eight photos, one actor."""
    return RebuildParams(
        source=str(drawn.root),
        root=str(root),
        extractor=ExtractorConfig(pose_model="embedded", mask_model="embedded", imgsz=POSE_PX),
        unit_size=8,
        workers=PoolConfig(count=1),
    )
