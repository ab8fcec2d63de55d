"""What an evaluation compares and registers, and its table."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from flows.evaluate import arm_rows, find_models, register, scores_json
from flows.jobs import EvaluationResult, judged
from flows.params import EvaluateParams
from hcp import HcpAdapter
from hcp.evaluation.measures import with_figures
from hcp.evaluation.promotion import Verdict
from hcp.evaluation.results import MeasureCard
from storage.errors import CheckpointError
from storage.registry import Registry
from tests.flows.variant_samples import variant_outcome
from tests.hcp.evaluation.reports import arm, report_of


def test_one_row_a_measure_one_column_a_model() -> None:
    report = report_of(base=arm(0.123456), candidate=arm(0.5, fid=12.0), champion=arm(0.25))
    rows = {str(row.pop("measure")): row for row in arm_rows(report)}
    known = {"base": 0.1235, "candidate": 0.5, "champion": 0.25, "not measured": None}
    assert rows["people_score"] == known
    assert rows["fid"] == {"base": None, "candidate": 12.0, "champion": None, "not measured": None}
    columns = ["base", "candidate", "champion", "not measured"]
    assert all(list(row) == columns for row in rows.values())


def test_what_was_not_measured_has_rows_that_say_why() -> None:
    rows = arm_rows(report_of(base=arm(0.4), candidate=arm(0.5)))
    nothing = {"base": None, "candidate": None}
    assert rows[-2:] == [
        {"measure": "text_score", **nothing, "not measured": "no CLIP model is configured"},
        {"measure": "kid", **nothing, "not measured": "no feature network"},
    ]
    assert "fid" not in [row["measure"] for row in rows]


def test_each_picture_s_scores_stand_with_its_prompt_and_seed() -> None:
    outcome = variant_outcome("any", (0.1, 0.2, 0.3, 0.4, 0.5, 0.6), shares=(0.7, 0.8))
    written = json.loads(scores_json(outcome.evaluation.figures))
    assert len(written["pictures"]) == 8
    assert written["pictures"][3] == {
        "prompt": "a woman", "seed": 1, "people_score": {"base": 0.6, "candidate": 0.4},
    }  # fmt: skip
    assert written["pictures"][6]["people_score"] == {"base": None, "candidate": None}
    assert written["photos"][1] == {"attention_share": {"base": 0.2, "candidate": 0.8}}


def test_measures_that_entered_by_their_cards_have_rows() -> None:
    card = MeasureCard(name="smiles", title="Smiles", note="seen", better="higher")
    report = report_of(base=arm(0.4), candidate=arm(0.5))
    report = with_figures(report, card, {"base": 0.25, "candidate": 0.75})
    row = {"measure": "smiles", "base": 0.25, "candidate": 0.75, "not measured": None}
    assert row in arm_rows(report)


LATEST = Path(__file__).parents[1] / "golden" / "training" / "latest"
PASSED = Verdict(promote=True, against="base", reasons=("Better people.",))


def result(verdict: Verdict) -> EvaluationResult:
    figures = report_of(base=arm(0.4), candidate=arm(0.5))
    return EvaluationResult(html="", figures=figures, verdict=verdict, tags={})


@pytest.fixture
def params(tmp_path: Path) -> EvaluateParams:
    """A copy of the golden adapter, to be registered in a registry of its own."""
    shutil.copytree(LATEST, tmp_path / "a")
    return EvaluateParams(
        base="embedded", out=str(tmp_path / "report"), checkpoint=str(tmp_path / "a"),
        register_model=True, registry=f"sqlite:///{tmp_path / 'registry.db'}",
    )  # fmt: skip


def test_a_candidate_is_never_compared_with_itself(params: EvaluateParams, tmp_path: Path) -> None:
    registry = Registry(str(params.registry))
    job = find_models.fn(params)
    assert (job.checkpoint, job.champion, job.reigning) == (params.checkpoint, None, None)
    assert judged(job, PASSED) == PASSED
    first = register.fn(job, result(PASSED))
    assert registry.champion("hcp") == first

    shutil.copytree(LATEST, tmp_path / "the same bytes")
    for checkpoint in ("a", "the same bytes", "hcp-registry:hcp/1", "hcp-registry:hcp/champion"):
        place = checkpoint if "hcp" in checkpoint else str(tmp_path / checkpoint)
        again = find_models.fn(params.model_copy(update={"checkpoint": place}))
        assert (again.champion, again.reigning) == (None, first.registry_uri)
        verdict = judged(again, PASSED)
        assert not verdict.promote
        assert "is the champion, hcp-registry:hcp/1" in verdict.reasons[0]
        other = result(verdict)
        assert register.fn(again, replace(other, tags={"new": "1"})).version == 1


def test_a_registered_candidate_keeps_its_version(params: EvaluateParams, tmp_path: Path) -> None:
    register.fn(find_models.fn(params), result(PASSED))
    HcpAdapter.from_pretrained(LATEST).save_pretrained(tmp_path / "b", step=9)
    failed = result(replace(PASSED, promote=False))
    job = find_models.fn(params.model_copy(update={"checkpoint": str(tmp_path / "b")}))
    assert (job.champion, job.reigning) == (params.checkpoint, None)
    assert register.fn(job, failed).version == 2
    named = find_models.fn(params.model_copy(update={"checkpoint": "hcp-registry:hcp/2"}))
    assert (named.checkpoint, named.champion) == (str(tmp_path / "b"), params.checkpoint)
    assert register.fn(named, result(PASSED)).version == 2
    champion = Registry(str(params.registry)).champion("hcp")
    assert champion is not None
    assert champion.version == 2


def test_what_changed_during_the_evaluation_is_not_registered(
    params: EvaluateParams, tmp_path: Path
) -> None:
    job = find_models.fn(params)
    HcpAdapter.from_pretrained(LATEST).save_pretrained(tmp_path / "a", step=9)
    with pytest.raises(CheckpointError, match="changed while it was evaluated"):
        register.fn(job, result(PASSED))
    assert Registry(str(params.registry)).champion("hcp") is None
