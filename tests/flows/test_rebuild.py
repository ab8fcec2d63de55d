"""rebuild-dataset as its users run it: through Prefect, on Ray, killed and run again."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import httpx
import psutil
import pytest

from demo.embedded import POSE_PX
from demo.world.dataset import DrawnFolder
from flows import rebuild_dataset
from flows.names import split_dataset
from flows.params import RebuildParams
from priors.config import ExtractorConfig
from storage.errors import SourceError, WeightsError
from storage.gc import collect_garbage
from storage.verify import verify_root
from storage.versions import list_versions, open_version
from tests.flows.flow_samples import ROOT, rebuild_params

pytestmark = [pytest.mark.ray, pytest.mark.prefect]


def shard_digests(root: Path | str) -> dict[str, str]:
    files = (Path(root) / "shards").iterdir()
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_every_photo_is_a_sample_or_a_reject_with_its_reason(
    dataset: str, drawn: DrawnFolder
) -> None:
    version = open_version(*split_dataset(dataset))
    assert version.n_samples + version.n_rejects == len(drawn.seeds) + len(drawn.defects)
    rows = version.rejects.to_table().to_pylist()
    reasons = {row["uri"]: row["reason"] for row in rows}
    assert {name: reasons.get(name) for name in drawn.defects} == dict(drawn.defects)
    assert Counter(reasons.values()) == Counter(version.rejects_by_reason)
    assert version.n_samples > len(drawn.seeds) // 2
    assert verify_root(version.root) == []


def test_samples_carry_priors_and_human_words(dataset: str) -> None:
    samples = list(open_version(*split_dataset(dataset)).iter_samples())
    for sample in samples:
        passing = [i for i, p in enumerate(sample.people, start=1) if p.passes_gate]
        assert passing
        assert any((sample.mask == i).sum() > 0 for i in passing)
    assert sum(bool(sample.human_spans) for sample in samples) > 0.9 * len(samples)


def test_a_second_run_does_no_model_work_and_says_so(
    dataset: str, drawn: DrawnFolder, environment: dict[str, str], tmp_path: Path
) -> None:
    root, version = split_dataset(dataset)
    before = shard_digests(root)
    done = run_cli(drawn, Path(root), environment, tmp_path)
    assert done.returncode == 0
    assert "no model was run" in done.stdout + done.stderr
    assert version in done.stdout
    assert list_versions(root) == [version]
    assert shard_digests(root) == before


def test_the_run_shows_progress_tables_and_pictures_in_the_ui(
    dataset: str, prefect_api: str
) -> None:
    runs = httpx.post(f"{prefect_api}/flow_runs/filter", json={}).raise_for_status().json()
    root = split_dataset(dataset)[0]
    mine = [r["id"] for r in runs if r["parameters"].get("params", {}).get("root") == root]
    wanted = {"artifacts": {"flow_run_id": {"any_": mine}}}
    answer = httpx.post(f"{prefect_api}/artifacts/filter", json=wanted).raise_for_status()
    artifacts = {artifact["key"]: artifact["data"] for artifact in answer.json()}
    assert artifacts["extract"] == 100.0
    assert "read as a folder of photos" in str(artifacts["source"])
    assert " there" in str(artifacts["source"])
    assert "no_caption" in str(artifacts["rejects"])
    assert str(artifacts["samples"]).startswith("data:image/jpeg;base64,")
    assert "photos/s" in str(artifacts["extraction"])


def test_killed_half_way_and_run_again_decoding_elsewhere_gives_the_same_bytes(
    dataset: str, drawn: DrawnFolder, environment: dict[str, str], tmp_path: Path
) -> None:
    root = tmp_path / "data"
    process = start_cli(drawn, root, environment, tmp_path)
    wait_for(lambda: len(list(root.glob("shards/*.json"))) >= 2, process)
    children = psutil.Process(process.pid).children(recursive=True)
    actors = [child for child in children if "_Worker" in child.name()]
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    committed = len(list(root.glob("shards/*.json")))
    assert actors
    assert psutil.wait_procs(actors, timeout=60)[1] == []  # no actor outlives its driver
    total = len(list(Path(split_dataset(dataset)[0]).glob("shards/*.json")))
    assert committed < total, "the run was over before it was killed"
    again = run_cli(drawn, root, environment, tmp_path, "--json")
    assert again.returncode == 0, again.stdout + again.stderr
    said = json.loads(again.stdout)  # one document and nothing else
    assert said["version"] == split_dataset(dataset)[1]
    assert said["samples"] + said["rejects"] == len(drawn.seeds) + len(drawn.defects)
    assert "extract: " in again.stderr  # the progress, line by line
    collect_garbage(str(root), dry_run=False)  # the killed writer's unfinished files
    assert shard_digests(root) == shard_digests(split_dataset(dataset)[0])
    assert list_versions(str(root)) == [split_dataset(dataset)[1]]


def test_an_empty_folder_says_what_was_expected(
    prefect_api: str, drawn: DrawnFolder, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    params = rebuild_params(drawn, tmp_path / "data")
    with pytest.raises(SourceError, match="empty"):
        rebuild_dataset(params.model_copy(update={"source": str(tmp_path / "empty")}))
    assert not list(tmp_path.glob("data/shards/*"))


def test_a_missing_weight_file_is_named(
    prefect_api: str, drawn: DrawnFolder, tmp_path: Path
) -> None:
    params = rebuild_params(drawn, tmp_path / "data")
    extractor = replace(params.extractor, pose_model=str(tmp_path / "gone.pt"))
    with pytest.raises(WeightsError, match=r"gone\.pt"):
        rebuild_dataset(params.model_copy(update={"extractor": extractor}))


@pytest.mark.assets
def test_real_photos_with_real_weights(prefect_api: str, assets: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("000000000139", "000000000790", "000000019221", "000000022892"):
        (photos / f"{name}.jpg").write_bytes((assets / "photos" / f"{name}.jpg").read_bytes())
        (photos / f"{name}.txt").write_text("a person in a photo")
    version_id = rebuild_dataset(
        RebuildParams(
            source=str(photos),
            root=str(tmp_path / "data"),
            extractor=ExtractorConfig(
                pose_model=str(assets / "weights" / "yolo11n-pose.pt"),
                mask_model=str(assets / "weights" / "yolo11n-seg.pt"),
            ),
        )
    )
    version = open_version(str(tmp_path / "data"), version_id)
    assert version.n_samples + version.n_rejects == 4
    assert version.n_samples >= 1


def command(drawn: DrawnFolder, root: Path, folder: Path) -> list[str]:
    config = folder / "rebuild.yaml"
    config.write_text(f"extractor: {{imgsz: {POSE_PX}}}\nworkers: {{count: 1, decode_cpus: 1}}\n")
    return [
        sys.executable, "-m", "flows.cli", "rebuild", "--source", str(drawn.root),
        "--root", str(root), "--pose-model", "embedded", "--mask-model", "embedded",
        "--unit-size", "8", "--config", str(config),
    ]  # fmt: skip


def run_cli(
    drawn: DrawnFolder, root: Path, environment: dict[str, str], folder: Path, *more: str
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*command(drawn, root, folder), *more],
        env=environment, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip


def start_cli(
    drawn: DrawnFolder, root: Path, environment: dict[str, str], folder: Path
) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        command(drawn, root, folder),
        env=environment, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def wait_for(condition, process: "subprocess.Popen[str]", limit_s: float = 180) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.02)
