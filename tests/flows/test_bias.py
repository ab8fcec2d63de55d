"""Who is drawn: the settings and models of the measure, from a flow's parameters."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from demo.embedded import SD_DIR
from flows.bias import bias_prompts_file, bias_tools
from flows.evaluation_inputs import evaluation_config, read_prompts
from flows.jobs import EvaluationJob, run_evaluation
from flows.params import EvaluateParams
from hcp import HcpAdapter, HcpConfig
from hcp.base import load_base
from hcp.evaluation.bias_results import BiasConfig
from hcp.evaluation.results import EvaluationConfig
from priors.config import JudgeConfig
from storage.errors import HcpError
from storage.records import Person


def nobody(images: Sequence[NDArray[np.uint8]]) -> list[list[Person]]:
    return [[] for _ in images]


def test_neutral_prompts_come_from_their_own_file(tmp_path: Path) -> None:
    path = tmp_path / "neutral.txt"
    path.write_text("a person waiting\na cook\n")
    given = {"base": "embedded", "checkpoint": str(tmp_path), "out": str(tmp_path)}
    config = evaluation_config(EvaluateParams(**given, bias_prompts=str(path)))
    assert config.bias.prompts == ("a person waiting", "a cook")
    assert config.prompts == EvaluationConfig().prompts
    embedded = evaluation_config(EvaluateParams(**given, bias_prompts="embedded"))
    assert len(embedded.bias.prompts) == 40
    path.write_text("a person waiting\na red car\n")
    with pytest.raises(HcpError, match=r"neutral\.txt.*no human word.*a red car"):
        evaluation_config(EvaluateParams(**given, bias_prompts=str(path)))


def test_a_mask_model_is_loaded_only_where_people_are_looked_at(tmp_path: Path) -> None:
    given = {"base": "embedded", "checkpoint": str(tmp_path), "out": str(tmp_path)}
    gone = str(tmp_path / "gone.pt")
    off = EvaluateParams(**given, mask_model=gone)
    assert "mask_model" in bias_tools(off, nobody, None).lacking()["trunk_to_torso"]
    on = off.model_copy(update={"evaluation": EvaluationConfig(bias=BiasConfig(enabled=True))})
    assert "gone.pt" in bias_tools(on, nobody, None).lacking()["trunk_to_torso"]


@pytest.mark.slow
def test_who_is_drawn_with_the_embedded_models(tmp_path: Path) -> None:
    base = load_base(SD_DIR)
    HcpAdapter.create(base.unet, HcpConfig(width=8)).save_pretrained(tmp_path / "adapter")
    prompts = read_prompts(bias_prompts_file("embedded"))[16:24]
    bias = BiasConfig(enabled=True, prompts=prompts, seeds=(0,), n_permutations=99)
    config = EvaluationConfig(
        prompts=("a man running",), seeds=(0,), steps=3, n_resamples=10, bias=bias
    )
    params = EvaluateParams(
        base="embedded", checkpoint=str(tmp_path / "adapter"), out=str(tmp_path),
        mask_model="embedded", evaluation=config,
        judge=JudgeConfig(weights="embedded"), device="cpu",
    )  # fmt: skip
    job = EvaluationJob(
        params=params, checkpoint=params.checkpoint, digest="", champion=None, reigning=None
    )
    result = run_evaluation(job)
    found = result.figures.bias
    assert found is not None
    assert found.n_prompts == 8
    # three steps draw few people: each trait is measured, or it is said why not
    names = {trait.name for trait in found.traits} | set(found.not_measured)
    assert names >= {"skin_tone", "shoulders_to_torso", "trunk_to_torso", "presentation"}
    assert 'id="who"' in result.html
