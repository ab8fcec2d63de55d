"""From a training's parameters to its config, and from its steps to its losses."""

from pathlib import Path

import pytest
import torch

from flows.params import TrainParams
from flows.train import export_adapter, loss_ends, starting_point
from hcp import HcpAdapter
from hcp.training.metrics import StepMetrics
from storage.errors import HcpError
from storage.registry import Registry

GOLDEN_STEP = next((Path(__file__).parents[1] / "golden" / "training").glob("train-*/step-*"))


def steps(n: int) -> list[StepMetrics]:
    """Steps whose loss is their number."""
    return [
        StepMetrics(
            step=i, loss=float(i), denoise=2.0 * i, alignment=0.5, learning_rate=1e-4,
            grad_norm=1.0, images_per_s=1.0, epoch=0,
        )
        for i in range(1, n + 1)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("n", "first", "last"), [(1, 1.0, 1.0), (9, 1.0, 9.0), (20, 1.5, 19.5), (39, 2.0, 38.0)]
)
def test_losses_of_the_first_and_of_the_last_tenth(n: int, first: float, last: float) -> None:
    start, end = loss_ends(steps(n), n)
    assert start == {"loss": first, "denoise": 2 * first, "alignment": 0.5}
    assert end == {"loss": last, "denoise": 2 * last, "alignment": 0.5}


def test_a_second_training_into_the_same_folder_leaves_the_champion_as_it_was(
    tmp_path: Path,
) -> None:
    other = HcpAdapter.from_pretrained(GOLDEN_STEP)
    with torch.no_grad():
        next(other.parameters()).add_(1.0)
    other.save_pretrained(tmp_path / "step", step=4)
    out, tracking = str(tmp_path / "out"), f"sqlite:///{tmp_path / 'registry.db'}"
    registry = Registry(tracking)

    first = export_adapter.fn(str(GOLDEN_STEP), out)
    entry = registry.register("hcp", checkpoint_uri=f"{out}/latest", metrics={}, tags={})
    registry.promote("hcp", entry.version)
    second = export_adapter.fn(str(tmp_path / "step"), out)

    champion = HcpAdapter.from_pretrained("hcp-registry:hcp/champion", tracking_uri=tracking)
    assert champion.card.step == 2
    assert HcpAdapter.from_pretrained(f"{out}/latest").card.step == 4
    assert first != second
    assert entry.uri == first
    assert export_adapter.fn(str(GOLDEN_STEP), out) == first


def test_an_adapter_is_exported_in_half_precision_unless_told_otherwise(tmp_path: Path) -> None:
    trained = HcpAdapter.from_pretrained(GOLDEN_STEP).state_dict()
    exact = export_adapter.fn(str(GOLDEN_STEP), str(tmp_path / "exact"), "float32")
    half = export_adapter.fn(str(GOLDEN_STEP), str(tmp_path / "half"))
    found = {place: HcpAdapter.from_pretrained(place) for place in (exact, half)}
    assert all(torch.equal(t, trained[n]) for n, t in found[exact].state_dict().items())
    rounded = {name: tensor.half().float() for name, tensor in trained.items()}
    assert all(torch.equal(t, rounded[n]) for n, t in found[half].state_dict().items())
    assert found[half].card == found[exact].card
    size = {place: (Path(place) / "adapter.safetensors").stat().st_size for place in found}
    assert size[half] < 0.6 * size[exact]  # of a tiny one, most is the header


def train_params(tmp_path: Path, **training: object) -> TrainParams:
    return TrainParams.model_validate(
        {
            "dataset": str(tmp_path), "base": "embedded", "out": str(tmp_path / "out"),
            "registry": f"sqlite:///{tmp_path / 'registry.db'}", "training": training,
        }
    )  # fmt: skip


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a run logs, outside a run."""
    lines: list[str] = []

    class Logger:
        def info(self, text: str, *values: object) -> None:
            lines.append(text % values)

    monkeypatch.setattr("flows.train.get_run_logger", Logger)
    return lines


def test_a_training_begins_with_the_champion_once_there_is_one(
    tmp_path: Path, said: list[str]
) -> None:
    params = train_params(tmp_path, init_from="champion")
    assert starting_point.fn(params).training.init_from is None
    assert said == ["no champion of hcp yet: new weights"]
    place = export_adapter.fn(str(GOLDEN_STEP), str(tmp_path / "out"))
    registry = Registry(params.registry)
    registry.register("hcp", checkpoint_uri=place, metrics={}, tags={})
    registry.promote("hcp", 1)
    assert starting_point.fn(params).training.init_from == place
    by_uri = train_params(tmp_path, init_from="hcp-registry:hcp/1")
    assert starting_point.fn(by_uri).training.init_from == place
    by_pointer = train_params(tmp_path, init_from=f"{tmp_path}/out/latest")
    assert starting_point.fn(by_pointer).training.init_from == place
    alone = train_params(tmp_path)
    assert starting_point.fn(alone) == alone


def test_what_cannot_be_begun_with_is_told_before_the_training(
    tmp_path: Path, said: list[str]
) -> None:
    for given in ("nowhere", str(tmp_path), "hcp-registry:hcp/9"):
        with pytest.raises(HcpError):
            starting_point.fn(train_params(tmp_path, init_from=given))
