"""One real Ray Train run; the loop itself is tested without Ray in test_training."""

import dataclasses
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import ray
from diffusers import StableDiffusionPipeline
from ray.train.v2._internal.constants import get_env_vars_to_propagate

from hcp import HcpAdapter, HcpConfig
from hcp.training.config import DataConfig, TrainConfig, Workers
from hcp.training.metrics import StepMetrics
from hcp.training.ray import cluster_named, fit
from hcp.training.run_folder import read_metrics
from hcp.training.watching import Event, RunStart
from storage.canonical import key_of
from storage.errors import HcpError
from storage.layout import Root
from storage.records import SourceRecord, Unit
from storage.shards import commit_unit
from storage.versions import DatasetVersion, publish_version
from tests.hcp.samples import make_sample

CONFIG = TrainConfig(
    steps=2,
    batch_size=2,
    checkpoint_every=2,
    data=DataConfig(resolution_px=32, decode_threads=1),
    hcp=HcpConfig(width=16),
)


@pytest.fixture
def dataset(tmp_path: Path) -> DatasetVersion:
    samples = [replace(make_sample(i), key=key_of(f"{i}.jpg")) for i in range(8)]
    records = [
        SourceRecord(key=s.key, uri=s.uri, caption=s.caption, content_tag=s.sha256) for s in samples
    ]
    unit = Unit(fingerprint="0" * 32, records=records)
    commit_unit(Root.of(tmp_path / "data"), unit, outcomes=samples)
    return publish_version(str(tmp_path / "data"), [unit.fingerprint], config={})


@pytest.fixture
def base(pipeline: StableDiffusionPipeline, tmp_path: Path) -> str:
    pipeline.save_pretrained(tmp_path / "base")
    return str(tmp_path / "base")


@pytest.fixture(scope="module")
def local_ray() -> Iterator[None]:
    handler = signal.getsignal(signal.SIGTERM)
    root = str(Path(__file__).parents[3])
    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        object_store_memory=200_000_000,
        # Workers unpickle this file's classes, and importlib mode gives it no place on the path.
        runtime_env={"env_vars": {"PYTHONPATH": root, "OMP_NUM_THREADS": "1"}},
    )
    yield
    ray.shutdown()
    signal.signal(signal.SIGTERM, handler)


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
def test_training_and_continuing_on_ray(dataset: DatasetVersion, base: str, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    seen: list[Event] = []
    first = fit(CONFIG, dataset=dataset, base=base, out=out, on_event=seen.append)
    assert seen[0] == RunStart(run=first.run, folder=str(tmp_path / "out" / first.run))
    assert [m.step for m in seen if isinstance(m, StepMetrics)] == [1, 2]
    adapter = HcpAdapter.from_pretrained(first.checkpoint)
    assert adapter.card.step == 2
    assert adapter.card.dataset_version == dataset.id
    longer = dataclasses.replace(CONFIG, steps=4)
    second = fit(longer, dataset=dataset, base=base, out=out, resume=True)
    assert second.run == first.run
    assert [m.step for m in second.metrics] == [1, 2, 3, 4]
    assert read_metrics(second.metrics_uri) == second.metrics
    assert HcpAdapter.from_pretrained(second.checkpoint).card.step == 4


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_a_training_s_actors_are_told_their_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    # Beside another cluster of this machine Ray Train's watchman would look for it there.
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with cluster_named():
        mine = ray.get_runtime_context().gcs_address
        assert get_env_vars_to_propagate()["RAY_ADDRESS"] == mine
    assert "RAY_ADDRESS" not in get_env_vars_to_propagate()
    assert "RAY_ADDRESS" not in os.environ


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_what_can_never_start_is_said_at_once(dataset: DatasetVersion, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    with pytest.raises(RuntimeError, match="never fit"):
        fit(CONFIG, dataset=dataset, base="x", out=out, workers=Workers(count=9))
    nowhere = str(tmp_path / "no" / "base")
    with pytest.raises(HcpError, match="does not exist"):
        fit(CONFIG, dataset=dataset, base=nowhere, out=out)
