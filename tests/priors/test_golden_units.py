"""Data of today's users: a rebuild over it finds every unit committed."""

from pathlib import Path

from demo.embedded import POSE_DIR, POSE_PX, SAM_DIR
from hcp.tokens import TOKENS_VERSION
from priors.config import ExtractorConfig
from priors.gate import GateConfig
from priors.planning import config_digest
from storage.canonical import digest_of
from storage.layout import Root
from storage.markers import committed
from storage.plan import PlanConfig, open_plan, plan_units
from storage.sources import resolve_source

GOLDEN = Path(__file__).parents[1] / "golden"


def test_the_units_of_the_golden_photos_are_committed() -> None:
    data = Root.of(GOLDEN / "data")
    config = ExtractorConfig(pose_model=str(POSE_DIR), mask_model=str(SAM_DIR), imgsz=POSE_PX)
    units = plan_units(
        resolve_source(str(GOLDEN / "photos")).records(),
        config=PlanConfig(unit_size=6),
        salt=digest_of([config_digest(config, GateConfig()), TOKENS_VERSION]),
    )
    (plan,) = (GOLDEN / "data" / "plans").glob("*.parquet")
    found = [unit.fingerprint for unit in units]
    assert found == list(open_plan(data, plan.stem).fingerprints())
    assert set(found) == committed(data)
