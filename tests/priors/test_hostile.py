"""Broken and hostile files: each ends as a sample or as a reject with the right reason."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from priors.extract import run_units_inline
from storage.plan import PlanConfig, plan_units
from storage.records import Unit
from storage.sources import Source, SourceFormat, resolve_source
from storage.verify import verify_root
from storage.versions import DatasetVersion, publish_version
from tests.hostile import (
    CAPTION,
    Ends,
    encoded,
    lenient_extractor,
    picture,
    write_coco,
    write_folder,
    write_jsonl,
    write_metadata_folder,
    write_parquet,
    write_tars,
)


def planned(source: Source) -> list[Unit]:
    return list(plan_units(source.records(), config=PlanConfig(unit_size=16), salt="test"))


def extracted(source: Source, root: Path, units: list[Unit]) -> DatasetVersion:
    run_units_inline(
        units,
        make_extractor=lambda: lenient_extractor(source, str(root)),
        on_report=lambda _: None,
    )
    return publish_version(str(root), [unit.fingerprint for unit in units], config={})


def ends_of(version: DatasetVersion) -> Ends:
    ends: Ends = {row["uri"]: row["reason"] for row in version.rejects.to_table().to_pylist()}
    return ends | {sample.uri: "sample" for sample in version.iter_samples()}


WRITERS: dict[Callable[[Path], Ends], SourceFormat] = {
    write_folder: "folder",
    write_metadata_folder: "folder",
    write_tars: "webdataset",
    write_jsonl: "table",
    write_parquet: "table",
    write_coco: "coco",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    expected: Ends
    n_records: int
    version: DatasetVersion


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[Callable[[Path], Ends], Outcome]:
    """Every corpus, extracted once."""
    found: dict[Callable[[Path], Ends], Outcome] = {}
    for write, kind in WRITERS.items():
        place = tmp_path_factory.mktemp(write.__name__)
        expected = write(place / "source")
        source = resolve_source(str(place / "source"), format=kind)
        units = planned(source)
        found[write] = Outcome(
            expected=expected,
            n_records=sum(len(unit.records) for unit in units),
            version=extracted(source, place / "data", units),
        )
    return found


Outcomes = dict[Callable[[Path], Ends], Outcome]


@pytest.mark.parametrize("write", WRITERS)
def test_every_record_ends_as_it_must(write: Callable[[Path], Ends], outcomes: Outcomes) -> None:
    outcome = outcomes[write]
    version = outcome.version
    assert ends_of(version) == outcome.expected
    assert version.n_samples + version.n_rejects == outcome.n_records == len(outcome.expected)
    assert verify_root(version.root) == []


def test_the_corpus_is_large_enough(outcomes: Outcomes) -> None:
    assert sum(len(outcome.expected) for outcome in outcomes.values()) >= 100


def test_hostile_captions_are_one_clean_line(outcomes: Outcomes) -> None:
    samples = {s.uri: s for s in outcomes[write_folder].version.iter_samples()}
    captions = {uri: s.caption for uri, s in samples.items()}
    assert captions["with-nul.jpg"] == "a man runs"
    assert captions["with-newlines.jpg"] == "a man runs fast"
    assert captions["separators.jpg"] == "a man runs now"
    assert not any("\n" in c or "\0" in c for c in captions.values())
    assert samples["nan.jpg"].attributes == {"score": None, "ratio": None, "x": "?"}
    assert (samples["rotated.jpg"].width_px, samples["rotated.jpg"].height_px) == (260, 320)


def test_nothing_of_the_machine_stands_in_the_rejects(outcomes: Outcomes) -> None:
    for outcome in outcomes.values():
        place = str(Path(outcome.version.root.uri).parent)
        assert place not in json.dumps(outcome.version.rejects.to_table().to_pylist())


def test_files_that_vanish_change_or_are_denied_after_the_listing(tmp_path: Path) -> None:
    folder = tmp_path / "source"
    folder.mkdir()
    names = ("changes", "denied", "grows-huge", "is-folder-now", "leaves", "stays", "vanishes")
    for seed, name in enumerate(names):
        (folder / f"{name}.jpg").write_bytes(encoded(picture(seed)))
        (folder / f"{name}.txt").write_text(CAPTION)
    source = resolve_source(str(folder))
    units = planned(source)
    (folder / "changes.jpg").write_bytes(encoded(picture(99)))
    (folder / "denied.jpg").chmod(0)
    os.truncate(folder / "grows-huge.jpg", 2**40)  # sparse: takes no disk
    for name in ("vanishes", "leaves", "is-folder-now"):
        (folder / f"{name}.jpg").unlink()
    (folder / "leaves.jpg").symlink_to("/etc/passwd")
    (folder / "is-folder-now.jpg").mkdir()
    expected = {f"{name}.jpg": "unreadable" for name in names} | {"stays.jpg": "sample"}
    if os.geteuid() == 0:  # root may read what nobody may
        expected["denied.jpg"] = "sample"
    assert ends_of(extracted(source, tmp_path / "data", units)) == expected


class RefusingStore(MemoryFileSystem):
    """An object store that lists what it then does not give."""

    protocol = "refusing"
    store: dict[str, object] = {}  # noqa: RUF012 - the class keeps its objects, as its base does
    pseudo_dirs = [""]  # noqa: RUF012

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return super()._strip_protocol(path.replace("refusing://", "memory://"))

    def cat_file(self, path: str, *args: object, **kwargs: object) -> bytes:
        if "denied" in path:
            raise PermissionError("Access Denied")
        if "odd" in path:
            raise RuntimeError("a client's own error")
        return super().cat_file(path, *args, **kwargs)


def test_objects_that_a_store_lists_but_does_not_give(tmp_path: Path) -> None:
    fsspec.register_implementation("refusing", RefusingStore, clobber=True)
    store = fsspec.filesystem("refusing")
    for seed, name in enumerate(("denied", "odd", "sound")):
        store.pipe_file(f"/photos/{name}.jpg", encoded(picture(seed)))
        store.pipe_file(f"/photos/{name}.txt", CAPTION.encode())
    source = resolve_source("refusing://photos")
    version = extracted(source, tmp_path / "data", planned(source))
    # a denied caption, too: the photo's own fault is named before its caption's
    expected = {"denied.jpg": "unreadable", "odd.jpg": "unreadable", "sound.jpg": "sample"}
    assert ends_of(version) == expected
