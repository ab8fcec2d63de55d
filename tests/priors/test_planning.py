"""Fingerprints of units: what is younger than earlier data counts where it makes a difference."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from priors_stubs import write_photos
from safetensors.torch import save_file

from priors.config import Extraction, ExtractorConfig, MaskMending
from priors.gate import GateConfig, counted_gate
from priors.planning import config_digest, plan_extraction
from storage.layout import Root
from storage.sources import resolve_source
from storage.work import Work

FORMER = GateConfig(max_caption_chars=1000)  # the default of earlier versions


@pytest.fixture
def config(tmp_path: Path) -> ExtractorConfig:
    (tmp_path / "model").mkdir()
    save_file({"weight": torch.zeros(2)}, tmp_path / "model" / "model.safetensors")
    return ExtractorConfig(pose_model=str(tmp_path / "model"), mask_model=str(tmp_path / "model"))


def planned(folder: Path, config: ExtractorConfig, gate: GateConfig) -> Work:
    extraction = Extraction(
        source=resolve_source(str(folder)), root=Root.of(str(folder / "out")),
        config=config, gate=gate,
    )  # fmt: skip
    records = extraction.source.records()
    return plan_extraction(extraction, records, unit_size=2, words_version=1, settings="{}")


def test_only_units_with_long_captions_are_made_anew(
    tmp_path: Path, config: ExtractorConfig
) -> None:
    """Kind: captions of 1,001 to 10,000 characters (SimpleTuner 760), rejected by earlier data."""
    photos = tmp_path / "photos"
    write_photos(photos, [1] * 12)
    before = planned(photos, config, FORMER)
    same = planned(photos, config, GateConfig())
    assert list(same.plan.fingerprints()) == list(before.plan.fingerprints())
    assert not same.long_captions
    (photos / "005.txt").write_text("a man runs " * 200)
    before = {unit.records[0].key: unit for unit in planned(photos, config, FORMER).plan.units()}
    now = planned(photos, config, GateConfig())
    assert now.long_captions
    for unit in now.plan.units():
        has_long = any(len(record.caption or "") > 1000 for record in unit.records)
        assert (unit.fingerprint != before[unit.records[0].key].fingerprint) == has_long
    longest = GateConfig(max_caption_chars=20_000)
    others = set(planned(photos, config, longest).plan.fingerprints())
    assert others.isdisjoint(now.plan.fingerprints())


def test_the_gate_of_a_version_is_the_former_where_it_lets_the_same_pass() -> None:
    assert counted_gate(GateConfig(), long_captions=False) == counted_gate(
        FORMER, long_captions=True
    )
    assert counted_gate(GateConfig(), long_captions=True)["max_caption_chars"] == 10_000
    for chars in (500, 1000, 5000):
        gate = GateConfig(max_caption_chars=chars)
        for long in (False, True):
            assert counted_gate(gate, long_captions=long)["max_caption_chars"] == chars


def test_mending_counts_where_it_is_not_the_default(config: ExtractorConfig) -> None:
    given = [
        config_digest(replace(config, mending=mending), GateConfig())
        for mending in (
            MaskMending(),
            MaskMending(enabled=False),
            MaskMending(max_hole_fraction=0.01),
            MaskMending(min_speck_distance=0.2),
        )
    ]
    assert given[0] == config_digest(config, GateConfig())
    assert len(set(given)) == len(given)
