"""Extraction without Ray: what is kept, what is refused and why, and the same bytes always."""

import hashlib
import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from priors_stubs import (
    KILL,
    StubMasks,
    StubPose,
    no_spans,
    one_unit,
    photo_bytes,
    stub_extractor,
    units_of,
    write_photos,
)
from safetensors.torch import save_file

from priors.config import Extraction, ExtractorConfig, MaskMending
from priors.extract import Extractor, batches, run_units_inline
from priors.gate import GateConfig
from priors.masks import PersonMasks
from priors.planning import config_digest
from priors.reports import UnitReport
from storage.layout import Root
from storage.markers import committed
from storage.records import Person, Reject, SourceRecord, Span, Unit
from storage.shard_reader import iter_samples
from storage.sources import Source, resolve_source

Photos = Callable[[Sequence[int]], Source]


def shard_digests(root: Path) -> dict[str, str]:
    files = sorted((root / "shards").iterdir())
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_unit_becomes_a_shard(photos: Photos, tmp_path: Path) -> None:
    source = photos([1, 2, 0, 3, 9, 1])
    unit = one_unit(source)
    report = stub_extractor(source, tmp_path).process(unit)
    assert (report.n_samples, report.n_rejects, report.skipped) == (4, 2, False)
    assert dict(report.rejects_by_reason) == {"no_person": 1, "too_many_people": 1}
    assert report.model_seconds <= report.seconds
    assert set(report.stage_seconds) == {"read", "decode", "pose", "masks", "write"}
    json.dumps(asdict(report))
    samples = list(iter_samples(Root.of(tmp_path), unit.fingerprint))
    assert [len(s.people) for s in samples] == [1, 2, 3, 1]
    for sample in samples:
        assert sample.mask.shape == (sample.height_px, sample.width_px) == (256, 256)
        areas = [int((sample.mask == i + 1).sum()) for i in range(len(sample.people))]
        assert areas == [p.mask_area_px for p in sample.people]
        assert [p.mask_score for p in sample.people] == [0.8] * len(sample.people)
        assert sample.human_spans == tuple(no_spans("a man runs"))
        assert sample.caption == "a man runs"


def test_every_record_ends_as_a_sample_or_with_a_reason(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    write_photos(folder, [1, 0, 1, 1, 1, 1])
    (folder / "002.png").write_bytes(photo_bytes(1)[:900])
    (folder / "003.png").write_bytes(b"a text")
    (folder / "004.txt").unlink()
    (folder / "005.txt").write_text("x" * 20_000)
    (folder / "006.png").write_bytes(photo_bytes(1, side_px=100))
    (folder / "006.txt").write_text("small")
    source = resolve_source(str(folder), format="folder")
    report = stub_extractor(source, tmp_path).process(one_unit(source))
    assert report.n_samples == 1
    assert dict(report.rejects_by_reason) == {
        "no_person": 1,
        "unreadable": 2,
        "no_caption": 1,
        "bad_caption": 1,
        "too_small": 1,
    }


def test_a_long_caption_is_kept_whole_in_the_record(tmp_path: Path) -> None:
    """Kind: captions of VLMs (SimpleTuner 760); what an encoder does not read is kept, too."""
    folder, caption = tmp_path / "photos", "a man runs " * 900
    write_photos(folder, [1], caption=caption)
    source = resolve_source(str(folder), format="folder")
    unit = one_unit(source)
    stub_extractor(source, tmp_path).process(unit)
    (sample,) = iter_samples(Root.of(tmp_path), unit.fingerprint)
    assert sample.caption == caption.strip()


class FaultyMasks(StubMasks):
    """The stub's masks with a hole of 2 x 2 px and a speck far away, in each."""

    def _masks(self, image: NDArray[np.uint8], people: Sequence[Person]) -> PersonMasks:
        found = super()._masks(image, people)
        found.masks[:, :, 200:] = False
        found.masks[:, 100:102, 20:22] = False
        found.masks[:, 9, 250] = True
        return found


@pytest.mark.parametrize("enabled", [True, False])
def test_masks_are_mended_and_counted(photos: Photos, tmp_path: Path, enabled: bool) -> None:
    """Kind: small holes and far specks of masks: mended by default, counted in the reports."""
    source = photos([1, 1])
    config = ExtractorConfig(mending=MaskMending(enabled=enabled))
    reports: list[UnitReport] = []
    total = run_units_inline(
        [one_unit(source)],
        make_extractor=lambda: Extractor(
            Extraction(source=source, root=Root.of(tmp_path), config=config, device="cpu"),
            no_spans, pose=StubPose(), masks=FaultyMasks(),
        ),
        on_report=reports.append,
    )  # fmt: skip
    for sample in iter_samples(Root.of(tmp_path), reports[0].fingerprint):
        assert bool(sample.mask[100, 20]) == enabled
        assert bool(sample.mask[9, 250]) != enabled
        assert sample.people[0].mask_area_px == int((sample.mask == 1).sum())
    n = 2 if enabled else 0
    assert dict(total.mended) == {"masks_mended": n, "holes_filled": n, "specks_removed": n}
    assert reports[0].mended == total.mended


def test_a_photo_that_vanishes_is_unreadable(photos: Photos, tmp_path: Path) -> None:
    source = photos([1, 1, 1])
    unit = one_unit(source)
    (tmp_path / "photos" / "001.png").unlink()
    report = stub_extractor(source, tmp_path).process(unit)
    assert (report.n_samples, dict(report.rejects_by_reason)) == (2, {"unreadable": 1})


def test_a_unit_without_a_sample_is_committed_too(photos: Photos, tmp_path: Path) -> None:
    source = photos([0, 0])
    unit = one_unit(source)
    assert stub_extractor(source, tmp_path).process(unit).n_samples == 0
    assert committed(Root.of(tmp_path)) == {unit.fingerprint}


def test_the_mask_model_sees_only_photos_that_pass_in_full_batches(
    photos: Photos, tmp_path: Path
) -> None:
    source = photos([1, 0, 1, 0, 0, 0, 1, 1, 0, 2])
    masks = StubMasks()
    config = ExtractorConfig(batch_size=2, mask_batch_size=2)
    extraction = Extraction(source=source, root=Root.of(tmp_path), config=config, device="cpu")
    extractor = Extractor(extraction, no_spans, pose=StubPose(), masks=masks)
    extractor.process(one_unit(source))
    assert (masks.n_images, masks.n_calls) == (5, 3)


def test_the_same_bytes_always(photos: Photos, tmp_path: Path) -> None:
    source = photos([1, 2, 0, 3, 1, 2, 9, 1])
    units = units_of(source, size=3)
    assert len(units) > 1
    for root, order in (("a", units), ("b", units[::-1])):
        extractor = stub_extractor(source, tmp_path / root)
        for unit in order:
            extractor.process(unit)
    assert shard_digests(tmp_path / "a") == shard_digests(tmp_path / "b")


def test_a_committed_unit_is_skipped_without_a_look_at_its_photos(
    photos: Photos, tmp_path: Path
) -> None:
    source = photos([1, 0, 2])
    unit = one_unit(source)
    first = stub_extractor(source, tmp_path).process(unit)
    before = shard_digests(tmp_path)
    masks = StubMasks()
    extraction = Extraction(source=source, root=Root.of(tmp_path), device="cpu")
    again = Extractor(extraction, no_spans, pose=StubPose(), masks=masks).process(unit)
    assert again.skipped
    assert masks.n_calls == 0
    assert (again.n_samples, again.n_rejects) == (first.n_samples, first.n_rejects)
    assert dict(again.rejects_by_reason) == dict(first.rejects_by_reason)
    assert shard_digests(tmp_path) == before


def test_poison_is_rejected_unread_and_the_rest_is_kept(photos: Photos, tmp_path: Path) -> None:
    source = photos([1, KILL, 1])
    unit = one_unit(source)
    guilty = unit.records[1].key
    extractor = stub_extractor(source, tmp_path, may_kill=True)
    report = extractor.process(unit, poison=frozenset({guilty}))
    assert (report.n_samples, dict(report.rejects_by_reason)) == (2, {"poison": 1})
    assert guilty not in {s.key for s in iter_samples(Root.of(tmp_path), unit.fingerprint)}


def test_a_probe_commits_nothing(photos: Photos, tmp_path: Path) -> None:
    source = photos([1, 0, 2])
    assert stub_extractor(source, tmp_path).probe(one_unit(source).records) == 2
    assert committed(Root.of(tmp_path)) == set()


def test_a_fault_of_the_unit_as_a_whole_is_raised(photos: Photos, tmp_path: Path) -> None:
    source = photos([1])
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(Exception, match="file"):
        stub_extractor(source, tmp_path / "file").process(one_unit(source))


def test_a_commit_that_breaks_off_stops_the_models(photos: Photos, tmp_path: Path) -> None:
    def broken(caption: str) -> list[Span]:
        raise OSError("disk full")

    source = photos([1] * 40)
    config = ExtractorConfig(batch_size=2, mask_batch_size=2)
    extraction = Extraction(source=source, root=Root.of(tmp_path), config=config, device="cpu")
    extractor = Extractor(extraction, broken, pose=StubPose(), masks=StubMasks())
    with pytest.raises(Exception, match="disk full"):
        extractor.process(one_unit(source))
    assert not [t for t in threading.enumerate() if t.name in ("models", "read")]


def test_rejects_pass_between_full_batches() -> None:
    refused = Reject(key="k", uri="u", reason="no_person", detail="")
    items = [1, refused, 2, 3, refused, refused]
    assert list(batches(items, 2)) == [refused, [1, 2], refused, refused, [3]]


def test_inline_runs_report_units_and_totals(photos: Photos, tmp_path: Path) -> None:
    source = photos([1, 0, 2, 1, 0, 1, 1])
    units = units_of(source, size=3)
    seen: list[UnitReport] = []
    total = run_units_inline(
        units,
        make_extractor=lambda: stub_extractor(source, tmp_path),
        on_report=seen.append,
    )
    assert [r.fingerprint for r in seen] == [u.fingerprint for u in units]
    assert (total.n_units, total.n_samples, total.n_rejects) == (len(units), 5, 2)
    assert dict(total.rejects_by_reason) == {"no_person": 2}
    assert total.images_per_s > 0
    assert 0 <= total.busy_fraction <= 1
    json.dumps(asdict(total))


@pytest.fixture
def config(tmp_path: Path) -> ExtractorConfig:
    for name in ("pose", "masks"):
        (tmp_path / name).mkdir()
        save_file({name: torch.zeros(2)}, tmp_path / name / "model.safetensors")
    return ExtractorConfig(pose_model=str(tmp_path / "pose"), mask_model=str(tmp_path / "masks"))


def test_the_digest_follows_what_shapes_a_shard(config: ExtractorConfig, tmp_path: Path) -> None:
    digest = config_digest(config, GateConfig())
    for same in (
        replace(config, batch_size=2, mask_batch_size=1, decode_threads=9),
        replace(config, trust_weights=True),
        replace(config, half=False),
    ):
        assert config_digest(same, GateConfig()) == digest
    for other in (
        replace(config, imgsz=320),
        replace(config, half=True),
        replace(config, mask_model=config.pose_model),
    ):
        assert config_digest(other, GateConfig()) != digest
    assert config_digest(config, GateConfig(min_score=0.5)) != digest
    (tmp_path / "pose").rename(tmp_path / "elsewhere")
    moved = replace(config, pose_model=str(tmp_path / "elsewhere"))
    assert config_digest(moved, GateConfig()) == digest
    save_file({"pose": torch.ones(2)}, tmp_path / "elsewhere" / "model.safetensors")
    assert config_digest(moved, GateConfig()) != digest


def test_the_config_is_json(config: ExtractorConfig) -> None:
    assert json.loads(json.dumps(asdict(config)))["imgsz"] == 640
    with pytest.raises(ValueError, match="ExtractorConfig"):
        ExtractorConfig(batch_size=0)


def test_large_masks_survive_packing(photos: Photos, tmp_path: Path) -> None:
    source = photos([8])
    unit = one_unit(source)
    stub_extractor(source, tmp_path).process(unit)
    (sample,) = iter_samples(Root.of(tmp_path), unit.fingerprint)
    assert set(np.unique(sample.mask)) == set(range(1, 9))


def test_records_of_a_unit_may_be_any_sequence(photos: Photos, tmp_path: Path) -> None:
    source = photos([1, 1])
    unit = one_unit(source)
    listed: list[SourceRecord] = list(unit.records)
    report = stub_extractor(source, tmp_path).process(
        Unit(fingerprint=unit.fingerprint, records=listed)
    )
    assert report.n_samples == 2
