"""Which model judges, and that it is not the one that made the priors."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from demo.embedded import JUDGE_DIR, POSE_DIR
from flows.ablate import ablate_hcp
from flows.judge import (
    check_before,
    judge_path,
    judge_tags,
    marked,
    note_on_judge,
    stated_error,
)
from flows.params import AblateParams, EvaluateSettings, RebuildAndTrainParams
from flows.pipeline import rebuild_and_train
from hcp.evaluation.promotion import Verdict
from priors.config import ExtractorConfig
from priors.weights import resolve_weights
from storage.errors import HcpError, WeightsError
from storage.layout import Root
from storage.versions import DatasetVersion, open_version

GOLDEN = Path(__file__).parents[1] / "golden"
TEACHER = resolve_weights(POSE_DIR).weights_sha256


def settings(**given: Any) -> EvaluateSettings:
    return EvaluateSettings.model_validate({"base": "embedded", "out": "/out"} | given)


def checkpoint(*teachers: str, version: str | None = None) -> Any:
    return SimpleNamespace(card=SimpleNamespace(teachers=teachers, dataset_version=version))


@pytest.fixture
def version(tmp_path: Path) -> DatasetVersion:
    """The golden set, as if it were published today."""
    shutil.copytree(GOLDEN / "data", tmp_path / "data")
    root = Root.of(tmp_path / "data")
    known = open_version(root)
    Path(root.version_models(known.id)).write_text(json.dumps({"pose": TEACHER}))
    return open_version(root)


@pytest.fixture
def copy(tmp_path: Path) -> str:
    """The teacher under another name."""
    shutil.copytree(POSE_DIR, tmp_path / "my-judge")
    (tmp_path / "my-judge" / "TRAINING.json").unlink()
    return str(tmp_path / "my-judge")


def test_embedded_means_another_model_for_the_judge_than_for_the_extractor() -> None:
    assert judge_path(settings(judge={"weights": "embedded"})) == str(JUDGE_DIR)
    assert judge_path(settings()) != ExtractorConfig().pose_model


def test_the_teacher_is_refused_as_itself_as_a_file_and_as_a_copy(
    version: DatasetVersion, copy: str
) -> None:
    for weights in (str(POSE_DIR), str(POSE_DIR / "model.safetensors"), copy):
        params = settings(judge={"weights": weights})
        with pytest.raises(HcpError, match=f"the judge is the teacher: .*dataset .*@{version.id}"):
            note_on_judge(params, version, checkpoint())
        with pytest.raises(HcpError, match="the candidate's data"):
            note_on_judge(params, None, checkpoint("", TEACHER, version="7"))
        with pytest.raises(HcpError, match="the champion's data"):
            note_on_judge(params, None, checkpoint("d"), checkpoint(TEACHER))


def test_an_older_checkpoint_s_version_is_looked_up_beside_the_evaluation_s(
    version: DatasetVersion,
) -> None:
    root = version.root
    params = settings(judge={"weights": "embedded"})
    other = DatasetVersion(
        **{name: getattr(version, name) for name in version.__slots__} | {"id": "x"}
    )
    note = note_on_judge(params, other, checkpoint(version=version.id))
    assert note.text.endswith(f"dataset {root}@x and dataset {root}@{version.id}.")
    gone = note_on_judge(params, version, checkpoint(version="f" * 16))
    assert gone.standing == "not known"
    assert "the candidate's data (ffffffffffffffff) records no digest" in gone.text


def test_where_it_is_allowed_the_verdict_is_marked(version: DatasetVersion, copy: str) -> None:
    params = settings(judge={"weights": copy}, allow_teacher_judge=True)
    note = note_on_judge(params, version, checkpoint())
    verdict = Verdict(promote=True, against="base", reasons=("Better.",))
    assert marked(verdict, note).reasons[0].startswith("The judge is the teacher: ")
    fine = note_on_judge(settings(judge={"weights": "embedded"}), version, checkpoint(TEACHER))
    assert (fine.standing, marked(verdict, fine)) == ("independent", verdict)
    assert judge_tags(fine)["judge_standing"] == "independent"
    assert judge_tags(note) == {"judge": copy, "judge_sha256": TEACHER, "judge_standing": "teacher"}


def test_what_nobody_wrote_down_is_not_known() -> None:
    params = settings(judge={"weights": "embedded"})
    older = note_on_judge(params, open_version(GOLDEN / "data"), checkpoint())
    assert older.standing == "not known"
    assert "only its name, embedded" in older.text
    assert note_on_judge(params, None, checkpoint()).standing == "not known"


def test_a_judge_that_cannot_be_had_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"nobody\.pt"):
        note_on_judge(settings(judge={"weights": "nobody.pt"}), None, checkpoint())


def test_before_the_work_the_extractor_and_the_judge_are_compared(copy: str) -> None:
    extractor = ExtractorConfig(pose_model="embedded")
    check_before(settings(judge={"weights": "embedded"}), extractor=extractor)
    check_before(settings(), extractor=ExtractorConfig())  # the defaults go together
    check_before(settings(judge={"weights": "no-such"}), extractor=extractor)  # not known yet
    unheard_of = "https://elsewhere.example/pose.pt"
    for weights, theirs in (
        (copy, extractor),
        ("yolo11n-pose", ExtractorConfig()),
        (unheard_of, ExtractorConfig(pose_model=unheard_of)),
    ):
        params = settings(judge={"weights": weights})
        with pytest.raises(HcpError, match="the judge is the teacher"):
            check_before(params, extractor=theirs)
        check_before(params.model_copy(update={"allow_teacher_judge": True}), extractor=theirs)


def test_a_pipeline_and_an_ablation_end_before_the_first_photo(
    version: DatasetVersion, copy: str
) -> None:
    evaluate = {"base": "embedded", "out": "/out", "judge": {"weights": copy}}
    train = {"base": "embedded", "out": "/out"}
    rebuild = {"source": "/no", "root": "/no", "extractor": {"pose_model": "embedded"}}
    data = {"rebuild": rebuild, "train": train, "evaluate": evaluate}
    with pytest.raises(HcpError, match="the judge is the teacher"):
        rebuild_and_train.fn(RebuildAndTrainParams.model_validate(data))
    own = train | {"dataset": f"{version.root}@{version.id}"}
    golden = str(GOLDEN / "data")
    mixed = train | {"dataset": golden, "training": {"data": {"also": [
        {"dataset": f"{version.root}", "weight": 0.5}]}}}  # fmt: skip
    for each in (own, mixed):
        params = AblateParams.model_validate({"train": each, "evaluate": evaluate})
        with pytest.raises(HcpError, match=f"the judge is the teacher: .*@{version.id}"):
            ablate_hcp.fn(params)


def test_the_judge_s_own_error_is_stated_where_it_is_known(copy: str) -> None:
    assert "AP 0.649 on COCO val2017" in stated_error("yolo11m-pose.pt")
    said = stated_error(str(JUDGE_DIR))
    assert "OKS AP 0." in said
    assert "px in 256; through the embedded autoencoder 0." in said
    assert stated_error(copy) == stated_error("sam_vit_h") == ""
