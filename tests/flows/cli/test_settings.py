"""Layers of settings: which wins, what each understands, how a mistake ends."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from demo.world.looks import CLOTHES
from flows.cli.settings import PRESETS, Given, from_preset, load_params, merged
from flows.params import (
    AblateParams,
    EvaluateParams,
    RebuildAndTrainParams,
    RebuildParams,
    TrainParams,
)
from hcp.config import HcpConfig
from hcp.evaluation.out_of_domain import BUILT_IN

NEEDED: dict[Any, dict[str, Any]] = {
    RebuildParams: {"source": "/s", "root": "/r"},
    TrainParams: {"dataset": "/d", "base": "b", "out": "/o"},
    EvaluateParams: {"checkpoint": "/c", "base": "b", "out": "/o"},
}
STEPS = "HCP_TRAINING__STEPS"


def steps(tmp_path: Path, **given: Any) -> int:
    """Training steps that a command line comes to; numbers say which layer was heard."""
    layers: dict[str, Any] = {"options": dict(NEEDED[TrainParams])}
    if "option" in given:
        layers["options"]["training.steps"] = given["option"]
    if "set" in given:
        layers["assignments"] = [f"training.steps={given['set']}"]
    if "file" in given:
        layers["file"] = tmp_path / "train.yaml"
        layers["file"].write_text(yaml.safe_dump({"training": {"steps": given["file"]}}))
    return load_params(TrainParams, Given(preset=given.get("preset"), **layers)).training.steps


def test_an_option_wins_over_set(tmp_path: Path) -> None:
    assert steps(tmp_path, option=5, set=4) == 5


def test_set_wins_over_the_file(tmp_path: Path) -> None:
    assert steps(tmp_path, set=4, file=3) == 4


def test_the_file_wins_over_a_preset(tmp_path: Path) -> None:
    assert steps(tmp_path, file=3, preset="demo") == 3


def test_a_preset_wins_over_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(STEPS, "1")
    assert steps(tmp_path, preset="demo") == 900


def test_the_environment_wins_over_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert steps(tmp_path) == 2000
    monkeypatch.setenv(STEPS, "1")
    assert steps(tmp_path) == 1


def test_what_the_environment_says_of_other_things_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("HCP_ASSETS", "x"), (STEPS, " "), ("HCP_TRAINING__STPES", "3")):
        monkeypatch.setenv(name, value)
    assert steps(tmp_path) == 2000


def test_an_old_file_wins_over_a_preset_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "old.yaml").write_text("steps: 7\nlearning_rate: 1e-4\n")
    given = Given(options=NEEDED[TrainParams], file=tmp_path / "old.yaml", preset="demo")
    training = load_params(TrainParams, given).training
    assert (training.steps, training.learning_rate) == (7, 1e-4)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert "learning_rate is now training.learning_rate" in said[0]


def test_set_reaches_every_kind_of_value() -> None:
    given = Given(
        options=NEEDED[TrainParams],
        assignments=(
            "training.learning_rate=3e-4", "training.hcp.stages=[mid]", "training.ema_decay=null",
            "training.hcp.alignment.priors.person=[mask]", "base=2024",
        ),
    )  # fmt: skip
    params = load_params(TrainParams, given)
    assert (params.training.learning_rate, params.training.ema_decay) == (3e-4, None)
    assert params.training.hcp.stages == ("mid",)
    assert params.training.hcp.alignment.priors.person == ("mask",)
    assert params.base == "b"  # an option wins; and the number was taken as text


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"assignments": ["training.learnin_rate=1"]}, "did you mean training.learning_rate?"),
        ({"assignments": ["training.steps"]}, "--set training.steps: expected path.to.field=value"),
        ({"assignments": ["training.steps=0"]}, "TrainConfig.steps must be >= 1, got 0"),
        ({"assignments": ["training.steps=[1"]}, "is not a YAML value"),
        ({"assignments": ["training.data.resolution_px=500"]}, "must be a multiple of 8, got 500"),
        ({"preset": "sd14"}, "--preset sd14: there are demo, paper, sd15, sdxl"),
        ({"file": Path("gone.yaml")}, "gone.yaml: not a readable YAML file"),
    ],
)
def test_a_mistake_is_one_message_and_exit_code_2(
    given: dict[str, Any], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        load_params(TrainParams, Given(options=NEEDED[TrainParams], **given))
    assert ended.value.code == 2
    shown = capsys.readouterr().err
    assert shown.startswith("error: ")
    assert said in shown


@pytest.mark.parametrize("kind", list(NEEDED))
@pytest.mark.parametrize("preset", sorted(path.stem for path in PRESETS.glob("*.yaml")))
def test_every_preset_fits_every_flow(kind: Any, preset: str) -> None:
    fields = merged(NEEDED[kind], from_preset(kind, preset))
    kind.model_validate(fields)
    composite = {
        "rebuild": NEEDED[RebuildParams], "train": NEEDED[TrainParams],
        "evaluate": {"base": "b", "out": "/o"},
    }  # fmt: skip
    pipeline = merged(composite, from_preset(RebuildAndTrainParams, preset))
    pipeline["train"].pop("dataset")
    RebuildAndTrainParams.model_validate(pipeline)
    del composite["rebuild"]
    ablation = AblateParams.model_validate(merged(composite, from_preset(AblateParams, preset)))
    assert ablation.train.training == RebuildAndTrainParams.model_validate(pipeline).train.training


def test_the_paper_is_the_methods_own_defaults_but_for_its_priors() -> None:
    fields = merged(NEEDED[TrainParams], from_preset(TrainParams, "paper"))
    config = TrainParams.model_validate(fields).training.hcp.to_json()
    priors = config["alignment"].pop("priors")
    assert priors == dict.fromkeys(("person", "action", "body"), ("resnet50",))
    ours = HcpConfig().to_json()
    del ours["alignment"]["priors"]
    assert config == ours


def test_the_demo_uses_the_embedded_models_at_their_sizes() -> None:
    rebuild = RebuildParams.model_validate(
        merged(NEEDED[RebuildParams], from_preset(RebuildParams, "demo"))
    )
    assert (rebuild.extractor.pose_model, rebuild.extractor.imgsz) == ("embedded", 320)
    train = from_preset(TrainParams, "demo")
    assert (train["base"], train["training"]["data"]["resolution_px"]) == ("embedded", 128)


def test_the_demo_knows_the_colours_of_its_world() -> None:
    evaluate = from_preset(EvaluateParams, "demo")["evaluation"]
    palette = {name: tuple(rgb) for name, rgb in evaluate["clothing"]["palette"].items()}
    assert palette == CLOTHES
    assert evaluate["out_of_domain"] in BUILT_IN
