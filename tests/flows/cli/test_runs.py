"""What the commands and their parameters have in common (cases.md, B05)."""

import json
from typing import Any

import pytest
from pydantic import BaseModel
from typer.main import get_command

from flows.cli.app import app
from flows.params import AblateParams, EvaluateParams, RebuildAndTrainParams, TrainParams


def test_b05_whoever_names_a_base_and_a_checkpoint_may_say_any_base() -> None:
    commands: Any = get_command(app)
    found: set[str] = set()
    for name, command in commands.commands.items():
        options = {option for each in command.params for option in each.opts}
        # `provision` sets variables; the deployments' own parameters have any_base
        named = options & {"--checkpoint", "--init-from", "--a"} and name != "provision"
        if "--base" in options and named:
            found.add(name)
            assert "--any-base" in options, name
    assert found == {"train", "evaluate", "generate", "compare-page"}


@pytest.mark.parametrize(
    "params", [TrainParams, EvaluateParams, RebuildAndTrainParams, AblateParams]
)
def test_b05_every_config_that_names_a_base_has_any_base_beside_it(params: type[BaseModel]) -> None:
    models = [params, *(field.annotation for field in params.model_fields.values())]
    named = [m for m in models if isinstance(m, type) and issubclass(m, BaseModel)]
    named = [model for model in named if "base" in model.model_fields]
    assert named
    for model in named:
        assert "any_base" in json.dumps(model.model_json_schema()), model


def test_every_command_that_has_a_result_can_speak_json() -> None:
    commands: Any = get_command(app)
    without = {
        name
        for name, command in commands.commands.items()
        if "--json" not in {option for each in command.params for option in each.opts}
    }
    assert without == {"demo", "down"}
