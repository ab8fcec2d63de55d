"""Models that deployments and settings name: each that cannot be used has a row."""

import shutil
from pathlib import Path

import pytest

from flows.doctor.deployed import Deployed
from flows.doctor.models import NAMED, check_models, look_at, setting_of
from flows.kinds import setting_paths
from flows.names import model_path
from flows.params import RebuildAndTrainParams, RebuildParams

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 123456\n"
PAGE = b"<!DOCTYPE html><html><body>Please log in</body></html>"
NO_MODELS = {
    "allow_teacher_judge", "any_base", "base_pictures", "checkpoint_every",
    "gradient_checkpointing", "keep_checkpoints", "model_name", "register_model", "trust_weights",
}  # fmt: skip


def test_every_setting_that_names_a_model_is_looked_at() -> None:
    words = ("model", "weights", "base", "bodies", "features", "judge", "clip", "checkpoint")
    paths = setting_paths()
    named = {path for path in paths if any(word in path[-1] for word in words)}
    assert {p[-1] for p in named if setting_of(p) is None} == NO_MODELS
    assert {setting_of(path) for path in paths} - {None} == set(NAMED)


@pytest.mark.parametrize("setting", ["base", "extractor.pose_model", "clip_model", "features"])
@pytest.mark.parametrize(("content", "said"), [(POINTER, "git lfs pull"), (PAGE, "HTML page")])
def test_a_pointer_and_a_page_are_no_models(
    setting: str, content: bytes, said: str, tmp_path: Path
) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(content)
    found = look_at(setting, str(file))
    assert found is not None
    assert found[0] == "bad"
    assert said in found[1]
    assert look_at(setting, str(tmp_path / "none.safetensors")) is not None


def test_one_file_of_a_base_that_is_a_pointer_is_enough(tmp_path: Path) -> None:
    base = tmp_path / "sd"
    shutil.copytree(model_path("embedded", "base"), base)
    assert look_at("base", str(base)) is None
    next((base / "vae").glob("*.safetensors")).write_bytes(POINTER)
    found = look_at("base", str(base))
    assert found is not None
    assert "vae" in found[1]
    assert look_at("base", str(tmp_path)) is not None  # a folder without a pipeline


def test_names_that_are_fetched_are_no_mistakes(monkeypatch: pytest.MonkeyPatch) -> None:
    for setting, name in (
        ("extractor.pose_model", "yolo11n-pose"), ("extractor.mask_model", "sam_vit_h"),
        ("features", "inception"), ("judge.weights", "https://example.org/a.safetensors"),
        ("bodies", "embedded"), ("checkpoint", "hcp-registry:hcp/champion"),
    ):  # fmt: skip
        assert look_at(setting, name) is None
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    found = look_at("base", "owner/a-model-that-nobody-has")
    assert found is not None
    assert (found[0], found[2][:17]) == ("note", "hf download owner")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    found = look_at("base", "owner/a-model-that-nobody-has")
    assert found is not None
    assert found[0] == "bad"


def test_who_names_it_stands_in_the_row(tmp_path: Path) -> None:
    place, models = str(tmp_path), {"pose_model": "/no/pose.pt", "mask_model": "embedded"}
    rebuild = {"source": place, "root": place, "extractor": models}
    train = {"base": "embedded", "out": place}
    evaluate = train | {"judge": {"weights": "embedded"}}
    deployed = [
        Deployed(name="a/nightly", here=True, params=RebuildParams.model_validate(rebuild)),
        Deployed(name="b/weekly", here=True, params=RebuildAndTrainParams.model_validate(
            {"rebuild": rebuild, "train": train, "evaluate": evaluate})),
    ]  # fmt: skip
    (row,) = check_models(deployed)
    assert row["state"] == "bad"
    assert row["found"].startswith("extractor.pose_model /no/pose.pt of a/nightly, b/weekly: no")
    (row,) = check_models([Deployed(name="c/c", here=False, params=deployed[0].params)])
    assert row["state"] == "note"  # its image may have it
    variables = {"HCP_BASE": "/no/base", "HCP_REBUILD__EXTRACTOR__POSE_MODEL": "embedded"}
    (row,) = check_models((), variables)
    assert "base /no/base of HCP_BASE" in row["found"]
    fine = Deployed(name="d/d", here=True, params=deployed[1].params.model_copy(
        update={"rebuild": RebuildParams(source=place, root=place)}))  # fmt: skip
    assert [row["state"] for row in check_models([fine])] == ["ok"]
