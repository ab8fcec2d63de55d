"""Random sources through the extraction: samples, rejects and what is left out are all there is."""

from pathlib import Path
from typing import Any

import pytest

from priors.extract import run_units_inline
from storage.errors import SourceError
from storage.plan import PlanConfig, plan_units
from storage.sources import Source, resolve_source
from storage.sources.report import Tally
from storage.versions import publish_version
from tests.hostile import lenient_extractor
from tests.storage.sources.random_sources import make_source


@pytest.mark.parametrize("seed", [0, 3, 5, *(pytest.param(n, marks=pytest.mark.slow)
                                             for n in range(5000, 5060))])  # fmt: skip
def test_samples_rejects_and_what_is_left_out_are_all_there_is(seed: int, tmp_path: Path) -> None:
    made = make_source(seed, tmp_path / "source")
    options: dict[str, Any] = dict(made.options)
    try:
        source = resolve_source(made.uri, **options)
        ends = extracted(source, Tally(source, made.uri, options.get("images")), tmp_path / "data")
    except (SourceError, ValueError) as error:
        assert str(made.root) in str(error)  # noqa: PT017  most sources end without one
        return
    n_samples, n_rejects, tally = ends
    summary = tally.summary()
    assert n_samples + n_rejects == summary.n_records
    assert n_samples + n_rejects + summary.n_used + summary.n_left_out == summary.n_there


def extracted(source: Source, tally: Tally, root: Path) -> tuple[int, int, Tally]:
    """How many samples and rejects a source gives, and what was counted meanwhile."""
    units = list(plan_units(tally.records(), config=PlanConfig(unit_size=16), salt="test"))
    run_units_inline(
        units,
        make_extractor=lambda: lenient_extractor(source, str(root)),
        on_report=lambda _: None,
    )
    version = publish_version(str(root), [unit.fingerprint for unit in units], config={})
    return version.n_samples, version.n_rejects, tally
