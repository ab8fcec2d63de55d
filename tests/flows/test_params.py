"""The flows' parameters: one tree, whose every leaf is reachable; forms, defaults, clear errors."""

import dataclasses
import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from pydantic import BaseModel, ValidationError
from typer.main import get_command

from flows.cli import app
from flows.cli.runs import _CACHE, _EVALUATE, _REBUILD, _TRAIN
from flows.cli.settings import merged, tree
from flows.params import (
    AblateParams,
    CacheParams,
    EvaluateParams,
    RebuildAndTrainParams,
    RebuildParams,
    RetryParams,
    TrainParams,
)
from flows.tree import leaves
from hcp.evaluation.promotion import PromotionConfig
from hcp.evaluation.results import EvaluationConfig
from hcp.pages.votes import ComparePageConfig
from hcp.training.config import Mixed, TrainConfig, Workers
from priors.config import ExtractorConfig, JudgeConfig, PoolConfig
from priors.gate import GateConfig

ROOT = Path(__file__).parents[2]
PARAMS = {
    "rebuild": (RebuildParams, _REBUILD),
    "retry-failed": (RetryParams, {}),
    "cache": (CacheParams, _CACHE),
    "train": (TrainParams, _TRAIN),
    "evaluate": (EvaluateParams, _EVALUATE),
    "ablate": (AblateParams, {}),
}
COMPONENTS: list[tuple[Any, dict[str, type]]] = [
    (RebuildParams, {"extractor": ExtractorConfig, "workers": PoolConfig, "gate": GateConfig}),
    (CacheParams, {"training": TrainConfig, "workers": PoolConfig}),
    (TrainParams, {"training": TrainConfig, "workers": Workers}),
    (
        EvaluateParams,
        {
            "evaluation": EvaluationConfig,
            "promotion": PromotionConfig,
            "judge": JudgeConfig,
            "compare": ComparePageConfig,
        },
    ),
]
RUN = {"source": "/a", "root": "/b"}


def check_fields(schema: dict[str, Any], definitions: dict[str, Any], kind: type) -> int:
    """Every field of a dataclass, and of those inside it, is a property of the schema."""
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rsplit("/", 1)[-1]]
    hints, n = get_type_hints(kind), 0
    assert schema["additionalProperties"] is False
    for field in dataclasses.fields(kind):
        below = schema["properties"][field.name]  # a KeyError is a setting that nobody can reach
        n += 1
        if dataclasses.is_dataclass(hints[field.name]):
            n += check_fields(below, definitions, hints[field.name]) - 1
    assert set(schema["properties"]) == set(hints)
    return n


@pytest.mark.parametrize(("params", "components"), COMPONENTS)
def test_every_field_of_every_component_is_in_the_parameters_schema(
    params: Any, components: dict[str, type]
) -> None:
    schema = params.model_json_schema()
    n = sum(
        check_fields(schema["properties"][name], schema["$defs"], kind)
        for name, kind in components.items()
    )
    assert n == sum(path[0] in components for path, _ in leaves(params))


def test_pinned_paths() -> None:
    found = {
        ".".join(path)
        for kind in (RebuildParams, TrainParams, EvaluateParams)
        for path, _ in leaves(kind)
    }
    assert found >= {
        "source", "root", "gate.min_score", "extractor.pose_model", "extractor.imgsz",
        "extractor.batch_size", "extractor.half", "dataset", "base", "out", "workers.count",
        "training.steps", "training.seed", "training.learning_rate", "training.checkpoint_every",
        "training.data.flip_probability", "training.hcp.width", "training.hcp.alignment.alpha",
        "checkpoint", "evaluation.seeds", "promotion.min_prompts", "registry", "judge.weights",
    }  # fmt: skip
    assert sum(path.rsplit(".", 1)[-1] == "device" for path in found) == 1


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"batchsize": 3}, "batchsize: there is no such setting; did you mean"),
        ({"extractor": {"imgz": 3}}, r"extractor\.imgz: .* did you mean extractor\.imgsz"),
        ({"imgsz": 320}, r"imgsz: .* did you mean extractor\.imgsz"),
        ({"gate": {"min_keypoints": 99}}, r"must be in 0\.\.17, got 99"),
        ({"extractor": {"imgsz": 500}}, "must be a multiple of 32, got 500"),
        ({"workers": {"cpus_each": 0}}, "needs cpus_each > 0"),
        ({"zzz": 1}, "zzz: there is no such setting; there are: ray_address"),
    ],
)
def test_what_is_wrong_is_named_with_what_may_be(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        RebuildParams.model_validate(RUN | given)


def test_an_unknown_field_deep_in_a_pipeline_is_named_with_its_path() -> None:
    train = {"base": "b", "out": "/o", "training": {"hcp": {"alignment": {"alhpa": 1}}}}
    data = {"rebuild": RUN, "train": train, "evaluate": {"base": "b", "out": "/o"}}
    with pytest.raises(ValidationError, match=r"train\.training\.hcp\.alignment\.alhpa: .*alpha"):
        RebuildAndTrainParams.model_validate(data)


def mixing(*also: dict[str, Any]) -> TrainParams:
    given = {"dataset": "/d", "base": "b", "out": "/o", "training": {"data": {"also": also}}}
    return TrainParams.model_validate(given)


def test_versions_that_are_mixed_in_are_places_like_the_dataset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    params = mixing({"dataset": "more@abc", "weight": 0.25}, {"dataset": "s3://b/x/", "repeats": 2})
    assert params.training.data.also == (
        Mixed(dataset=f"{tmp_path}/more@abc", weight=0.25),
        Mixed(dataset="s3://b/x", repeats=2),
    )
    assert TrainParams.model_validate_json(params.model_dump_json()) == params
    for wrong, said in [
        ({"dataset": "x", "wieght": 2}, r"training\.data\.also\.wieght: .* did you mean .*weight"),
        ({"dataset": " "}, "data.also: dataset is empty"),
        ({"dataset": "x", "weight": 1, "repeats": 1}, "give one"),
        ({"weight": 1}, "dataset"),
    ]:
        with pytest.raises(ValidationError, match=said):
            mixing(wrong)


@pytest.mark.parametrize("field", ["source", "root", "images", "ray_address"])
def test_empty_strings_are_refused(field: str) -> None:
    with pytest.raises(ValidationError, match="is empty: a variable that is not set"):
        RebuildParams.model_validate(RUN | {field: " "})


@pytest.mark.parametrize("field", ["base", "out", "checkpoint", "dataset", "registry", "features"])
def test_an_evaluation_refuses_empty_strings(field: str) -> None:
    given = {"base": "b", "out": "/o", "checkpoint": "/c"}
    with pytest.raises(ValidationError, match="is empty"):
        EvaluateParams.model_validate(given | {field: ""})


def test_an_empty_model_name_is_refused_by_its_name() -> None:
    with pytest.raises(ValidationError, match="pose_model is empty"):
        RebuildParams.model_validate(RUN | {"extractor": {"pose_model": ""}})


def test_relative_places_are_those_of_the_process_that_reads_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.pt").touch()
    rebuild = RebuildParams.model_validate(
        {"source": "photos", "root": "s3://bucket/data/", "extractor": {"pose_model": "mine.pt"}}
    )
    assert (rebuild.source, rebuild.root) == (f"{tmp_path}/photos", "s3://bucket/data")
    assert rebuild.extractor.pose_model == f"{tmp_path}/mine.pt"
    assert rebuild.extractor.mask_model == "sam_vit_h"
    evaluate = EvaluateParams(
        base="embedded", out="report", dataset="data@abc", checkpoint="hcp-registry:hcp/champion"
    )
    assert (evaluate.base, evaluate.checkpoint) == ("embedded", "hcp-registry:hcp/champion")
    assert (evaluate.out, evaluate.dataset) == (f"{tmp_path}/report", f"{tmp_path}/data@abc")
    train = TrainParams(dataset="data", base="mine.pt", out="~/runs")
    assert (train.dataset, train.base) == (f"{tmp_path}/data", f"{tmp_path}/mine.pt")
    assert Path(train.out).is_absolute()


def test_parameters_survive_json() -> None:
    for params in (
        TrainParams(dataset="d", base="b", out="o"),
        RebuildParams(source="s", root="r"),
        EvaluateParams(checkpoint="c", base="b", out="o"),
    ):
        assert type(params).model_validate_json(params.model_dump_json()) == params


@pytest.mark.parametrize("name", sorted(PARAMS))
def test_every_option_is_a_field_of_the_flows_parameters(name: str) -> None:
    kind, places = PARAMS[name]
    command = get_command(app).commands[name]  # type: ignore[attr-defined]
    options = {p.name for p in command.params} - {"config", "preset", "assignments", "as_json"}
    assert len(command.params) >= len(options) + 3
    known = {".".join(path) for path, _ in leaves(kind)}
    assert {places.get(option, option) for option in options} <= known
    assert inspect.getdoc(kind)


def test_parameters_load_without_torch() -> None:
    code = "import flows.params, sys; assert not {'torch', 'ray', 'diffusers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)


NO_PLACE = {
    "caption_column", "caption_scripts", "experiment", "image_column", "license", "method",
    "model_name", "own", "palette", "parent_run", "presentation", "question", "questions",
    "ray_address", "targets", "variants",
}  # fmt: skip
"""Settings that hold text, and are no paths."""
NEEDED: dict[type, dict[str, Any]] = {
    RetryParams: {"source": "/s", "root": "/r"},
    TrainParams: {"dataset": "/d", "base": "b", "out": "/o"},
    CacheParams: {"dataset": "/d", "base": "b"},
    EvaluateParams: {"checkpoint": "/c", "base": "b", "out": "/o"},
}
NEEDED[RebuildAndTrainParams] = {
    "rebuild": NEEDED[RetryParams],
    "train": {"base": "b", "out": "/o"},
    "evaluate": {"base": "b", "out": "/o"},
}
NEEDED[AblateParams] = {"train": NEEDED[TrainParams], "evaluate": {"base": "b", "out": "/o"}}


def texts(kind: type) -> list[str]:
    """Dotted paths of the settings that are one text, and may be a place."""
    found = [
        ".".join(path)
        for path, annotation in leaves(kind)
        if (path[-1] not in NO_PLACE and annotation in (str, str | None))
        or "AfterValidator" in str(annotation)
    ]
    return [path for path in found if path.rpartition(".")[2] not in NO_PLACE]


@pytest.mark.parametrize(
    ("kind", "path"), [(kind, path) for kind in NEEDED for path in texts(kind)],
    ids=lambda each: each if isinstance(each, str) else each.__name__,
)  # fmt: skip
def test_d01_every_place_in_the_settings_means_the_callers_folder(
    kind: type[BaseModel], path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here [1]").mkdir()
    (tmp_path / "here [1]" / "x").touch()
    prefix = "sqlite:///" if path.endswith("registry") else ""
    for given in ("here [1]/x", "./here [1]/x", f"../{tmp_path.name}/here [1]/x"):
        found: Any = kind.model_validate(merged(NEEDED[kind], tree(path, prefix + given)))
        for name in path.split("."):
            found = getattr(found, name)
        assert found == f"{prefix}{tmp_path}/here [1]/x"


def test_d01_a_path_that_is_not_there_is_named_as_the_caller_meant_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given = {"base": "./models/sd15.safetensors", "dataset": "data", "out": "runs"}
    assert TrainParams.model_validate(given).base == f"{tmp_path}/models/sd15.safetensors"
    assert TrainParams.model_validate(given | {"base": "owner/model"}).base == "owner/model"
