"""Places as people have them: a cluster that was started elsewhere, folders with any name."""

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from demo.embedded import POSE_PX
from demo.world.dataset import DrawnFolder
from flows import rebuild_dataset
from storage.verify import verify_root
from storage.versions import list_versions, open_version
from tests.flows.flow_samples import ROOT, rebuild_params
from tests.flows.line import Line

pytestmark = [pytest.mark.ray, pytest.mark.prefect, pytest.mark.slow]

NAMES = ("photos [2024] #1", "out [v2] 100% (final) é & co " + "x" * 60)


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """``ray start`` in a folder of its own."""
    from ray.cluster_utils import Cluster

    (tmp_path / "cluster").mkdir()
    monkeypatch.chdir(tmp_path / "cluster")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
    yield cluster
    cluster.shutdown()


def test_d01_d03_d06_relative_paths_mean_the_callers_folder_on_a_running_cluster(
    cluster: Any, drawn: DrawnFolder, environment: dict[str, str], tmp_path: Path
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    photos, root = NAMES
    shutil.copytree(drawn.root, here / photos)
    shutil.copytree(ROOT / "demo" / "weights" / "pose", here / "models" / "pose")
    with (here / "video.mp4").open("wb") as file:
        os.truncate(file.fileno(), 2**30)  # more than Ray's hook for `uv run` would take along
    (here / "run").write_text('"$@"\n')
    done = subprocess.run(
        [
            "bash", "-c", 'exec -a uv bash run "$@"', "-",  # how `uv run` looks to its children
            sys.executable, "-m", "flows.cli", "rebuild", "--source", photos, "--root", root,
            "--pose-model", "models/pose", "--mask-model", "embedded", "--unit-size", "20",
            "--set", f"extractor.imgsz={POSE_PX}", "--ray-address", cluster.address,
        ],
        cwd=here, env=environment | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        timeout=400, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (version,) = list_versions(str(here / root))
    assert f"dataset version {version}\n" in done.stdout
    assert verify_root(str(here / root)) == []
    found = open_version(str(here / root), version)
    assert found.n_samples + found.n_rejects == len(drawn.seeds) + len(drawn.defects)
    assert len(list(found.iter_samples())) == found.n_samples
    assert list((tmp_path / "cluster").iterdir()) == []


def test_d04_a_server_that_is_away_ends_no_rebuild(
    prefect_api: str, drawn: DrawnFolder, tmp_path: Path
) -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    root, away_s = tmp_path / "data", 8.0
    cuts: list[float] = []

    def cut() -> None:
        while not list(root.glob("shards/*.json")):
            time.sleep(0.05)
        line.cut()
        cuts.append(time.monotonic())
        time.sleep(away_s)
        line.mend()

    with Line(prefect_api) as line, temporary_settings({PREFECT_API_URL: line.url}):
        thread = threading.Thread(target=cut)
        thread.start()
        version = rebuild_dataset(rebuild_params(drawn, root))
        thread.join()
    assert cuts
    assert open_version(str(root), version).n_samples > len(drawn.seeds) // 2
    assert verify_root(str(root)) == []
    runs = httpx.post(f"{prefect_api}/flow_runs/filter", json={}).raise_for_status().json()
    (mine,) = [r for r in runs if r["parameters"].get("params", {}).get("root") == str(root)]
    assert mine["state"]["type"] == "COMPLETED"
    wanted = {"artifacts": {"flow_run_id": {"any_": [mine["id"]]}}}
    found = httpx.post(f"{prefect_api}/artifacts/filter", json=wanted).raise_for_status().json()
    data = {artifact["key"]: artifact["data"] for artifact in found}
    assert data["extract"] == 100.0
    assert {"rejects", "samples", "extraction"} <= set(data)
