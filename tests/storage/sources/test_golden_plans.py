"""Sources of today's users: the units that earlier code made of them are the units made now."""

import json
from pathlib import Path

import pytest

from storage.plan import PlanConfig, plan_units
from storage.sources import resolve_source

GOLDEN = Path(__file__).parents[2] / "golden" / "sources"
PLANS = json.loads((GOLDEN / "plans.json").read_text())


@pytest.mark.parametrize("name", PLANS)
def test_a_source_gives_the_units_that_it_gave_before(name: str) -> None:
    source = resolve_source(str(GOLDEN / name))
    units = plan_units(source.records(), config=PlanConfig(unit_size=2), salt="golden")
    found = [[unit.fingerprint, [[r.key, r.uri] for r in unit.records]] for unit in units]
    assert {"format": source.format, "units": found} == PLANS[name]
