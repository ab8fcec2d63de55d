"""The flows' parameters: forms, defaults, clear errors."""

import inspect

import pytest
import typer
from pydantic import ValidationError
from typer.main import get_command

from flows.cli import app
from flows.params import EvaluateParams, RebuildParams, TrainParams

PARAMS = {"rebuild": RebuildParams, "train": TrainParams, "evaluate": EvaluateParams}
RENAMED = {"register": "register_model"}


def test_an_unknown_field_is_named() -> None:
    with pytest.raises(ValidationError, match="batchsize"):
        RebuildParams.model_validate({"source": "a", "root": "b", "batchsize": 3})


def test_a_bad_gate_says_what_it_may_be() -> None:
    with pytest.raises(ValidationError, match=r"must be in 0\.\.17, got 99"):
        RebuildParams.model_validate({"source": "a", "root": "b", "gate": {"min_keypoints": 99}})


def test_the_form_describes_nested_settings() -> None:
    schema = TrainParams.model_json_schema()
    assert "AlignmentConfig" in schema["$defs"]
    assert schema["properties"]["resolution_px"]["description"]


def test_parameters_survive_json() -> None:
    params = TrainParams(dataset="d", base="b", out="o")
    assert TrainParams.model_validate_json(params.model_dump_json()) == params


@pytest.mark.parametrize("name", sorted(PARAMS))
def test_every_option_is_a_field_of_the_flows_parameters(name: str) -> None:
    command = get_command(app).commands[name]  # type: ignore[attr-defined]
    options = {parameter.name for parameter in command.params} - {"config"}
    assert {RENAMED.get(o, o) for o in options} <= set(PARAMS[name].model_fields)
    assert isinstance(app, typer.Typer)
    assert inspect.getdoc(PARAMS[name])
