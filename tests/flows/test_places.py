"""Places as people have them: a cluster that was started elsewhere, folders with any name."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from demo.embedded import POSE_PX
from demo.world.dataset import DrawnFolder
from storage.verify import verify_root
from storage.versions import list_versions, open_version
from tests.flows.flow_samples import ROOT

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
