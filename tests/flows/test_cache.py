"""cache-dataset as its users run it: through Prefect, on Ray, killed and run again, trained on."""

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from flows import cache_dataset, train_hcp
from flows.names import split_dataset
from flows.outcomes import CacheOutcome
from flows.params import CacheParams, TrainParams
from hcp.training.config import CacheConfig, DataConfig, TrainConfig
from hcp.training.run_folder import read_metrics
from priors.config import PoolConfig
from storage.errors import CacheError, HcpError
from storage.verify import verify_root
from storage.versions import open_version
from tests.flows.flow_samples import ROOT

pytestmark = [pytest.mark.ray, pytest.mark.prefect]

TRAINING = TrainConfig(
    steps=2,
    batch_size=2,
    data=DataConfig(resolution_px=64, decode_threads=1),
    cache=CacheConfig(use="required"),
)


def params(dataset: str) -> CacheParams:
    return CacheParams(
        dataset=dataset, base="embedded", training=TRAINING, workers=PoolConfig(count=1)
    )


def content(folder: str | Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(folder).iterdir() if path.is_file()}


@pytest.fixture(scope="module")
def cached(dataset: str, one_ray: None) -> CacheOutcome:
    return cache_dataset(params(dataset))


def test_every_shard_is_cached_once(cached: CacheOutcome, dataset: str, prefect_api: str) -> None:
    version = open_version(*split_dataset(dataset))
    assert (cached.shards, cached.samples, cached.bad) == (
        len(version.shards), version.n_samples, 0,
    )  # fmt: skip
    before = content(cached.cache)
    assert len(before) == 2 * cached.shards + 2
    assert cache_dataset(params(dataset)) == cached
    assert content(cached.cache) == before
    assert verify_root(version.root) == []
    wanted = {"artifacts": {"key": {"any_": ["cache"]}}}
    answer = httpx.post(f"{prefect_api}/artifacts/filter", json=wanted).raise_for_status()
    assert any(artifact["data"] == 100.0 for artifact in answer.json())


def test_a_killed_run_goes_on_with_the_same_bytes(
    cached: CacheOutcome, dataset: str, environment: dict[str, str], tmp_path: Path
) -> None:
    root, version = split_dataset(dataset)
    shutil.copytree(root, tmp_path / "data", ignore=shutil.ignore_patterns("caches"))
    (tmp_path / "cache.yaml").write_text(params(dataset).model_dump_json())
    command = [sys.executable, "-m", "flows.cli", "cache", "--config", str(tmp_path / "cache.yaml")]
    command += ["--dataset", f"{tmp_path / 'data'}@{version}"]
    folder = tmp_path / "data" / "caches" / Path(cached.cache).name
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    deadline = time.monotonic() + 120
    while len(list(folder.glob("*.tar"))) < 2 and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert len(list(folder.glob("*.tar"))) < cached.shards, "it was over before it was killed"
    again = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200, check=False
    )
    assert again.returncode == 0, again.stdout + again.stderr
    assert f"cache {folder}" in again.stdout
    finished = {k: v for k, v in content(folder).items() if not k.startswith(".tmp-")}
    assert finished == content(cached.cache)


def test_a_shard_that_cannot_be_read_is_named_and_the_others_are_cached(
    dataset: str, one_ray: None, tmp_path: Path
) -> None:
    root, version_id = split_dataset(dataset)
    shutil.copytree(root, tmp_path / "data", ignore=shutil.ignore_patterns("caches"))
    version = open_version(tmp_path / "data", version_id)
    Path(version.root.shard(version.shards[1], "tar")).write_bytes(b"gone")
    with pytest.raises(CacheError, match=f"1 of {len(version.shards)} .* {version.shards[1]}"):
        cache_dataset(params(f"{version.root}@{version.id}"))
    assert len(list(tmp_path.glob("data/caches/*/*.tar"))) == len(version.shards) - 1


def test_training_reads_the_cache_or_says_why_not(
    cached: CacheOutcome, dataset: str, tmp_path: Path
) -> None:
    settings = TrainParams(
        dataset=dataset, base="embedded", out=str(tmp_path / "runs"), training=TRAINING
    )
    outcome = train_hcp(settings)
    assert outcome.steps == 2
    assert all(step.denoise > 0 for step in read_metrics(outcome.log))
    other = replace(TRAINING, data=replace(TRAINING.data, resolution_px=128))
    with pytest.raises(HcpError, match="resolution_px is 64, this training has 128"):
        train_hcp(settings.model_copy(update={"training": other}))
