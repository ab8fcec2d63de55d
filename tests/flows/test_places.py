"""Places as people have them: a cluster that was started elsewhere, folders with any name."""

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from demo.embedded import POSE_PX
from demo.world.dataset import DrawnFolder
from flows import rebuild_dataset
from hcp import HcpAdapter
from storage.verify import verify_root
from storage.versions import list_versions, open_version
from tests.flows.flow_samples import ROOT, rebuild_params
from tests.flows.line import Line
from tests.ray_nodes import cluster_of_nodes, late_node

pytestmark = [pytest.mark.ray, pytest.mark.prefect, pytest.mark.slow]

AS_UV_RUN = ("bash", "-c", 'exec -a uv bash run "$@"', "-")  # how it looks to its children
NAMES = ("photos [2024] #1", "out [v2] 100% (final) é & co " + "x" * 60)


LATE_S = 60.0


@pytest.mark.timeout(900)  # two nodes, two commands, and a minute of waiting
def test_d01_d03_d06_a_cluster_whose_nodes_come_a_minute_late(
    drawn: DrawnFolder,
    environment: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    """A rebuild waits for them, a training needs both; places are the caller's, not the nodes'."""
    folders = [tmp_path / name for name in ("here", "head", "node-1", "node-2")]
    for folder in folders:
        folder.mkdir()
    here, *elsewhere = folders
    photos, root = NAMES
    shutil.copytree(drawn.root, here / photos)
    shutil.copytree(ROOT / "demo" / "weights" / "pose", here / "models" / "pose")
    with (here / "video.mp4").open("wb") as file:
        os.truncate(file.fileno(), 2**30)  # more than Ray's hook for `uv run` would take along
    (here / "run").write_text('"$@"\n')

    def hcp(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [*AS_UV_RUN, sys.executable, "-m", "flows.cli", *arguments]
        # A Ray that this process started before has made the token of its clusters a must.
        of_ray = {name: os.environ[name] for name in os.environ if name.startswith("RAY_")}
        done = subprocess.run(
            command, cwd=here, env={**environment, **of_ray, "PYTHONPATH": str(ROOT)},
            capture_output=True, text=True, timeout=400, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    monkeypatch.chdir(elsewhere[0])
    with ExitStack() as stack:
        address = stack.enter_context(cluster_of_nodes()).address
        for i, folder in enumerate(elsewhere[1:]):  # two at once take each other's ports
            stack.enter_context(late_node(address, after_s=LATE_S + 20 * i, folder=folder))
        begun = time.monotonic()
        rebuilt = hcp(
            "rebuild", "--source", photos, "--root", root, "--pose-model", "models/pose",
            "--mask-model", "embedded", "--unit-size", "10", "--ray-address", address,
            "--set", f"extractor.imgsz={POSE_PX}",
        )  # fmt: skip
        took_s = time.monotonic() - begun
        assert took_s > LATE_S
        hcp(  # one worker on each node: none has room for two
            "train", "--dataset", root, "--base", "embedded", "--out", "runs", "--steps", "2",
            "--workers", "2", "--ray-address", address, "--set", "training.batch_size=2",
            "--set", "training.data.resolution_px=32", "--set", "mlflow=false",
        )  # fmt: skip
    assert "waiting for 1 workers of 1 CPUs: the Ray cluster has 1 nodes with 0 CPUs" in (
        rebuilt.stdout + rebuilt.stderr
    )
    record_property("late nodes: seconds to the rebuild's end", round(took_s))
    (version,) = list_versions(str(here / root))
    assert f"dataset version {version}\n" in rebuilt.stdout
    assert verify_root(str(here / root)) == []
    found = open_version(str(here / root), version)
    assert found.n_samples + found.n_rejects == len(drawn.seeds) + len(drawn.defects)
    assert len(list(found.iter_samples())) == found.n_samples
    (latest,) = (here / "runs" / "adapters").iterdir()
    assert HcpAdapter.from_pretrained(str(latest)).card.step == 2
    assert [file for folder in elsewhere for file in folder.iterdir()] == []


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
