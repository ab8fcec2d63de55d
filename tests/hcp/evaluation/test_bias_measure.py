"""The measure inside an evaluation: drawn apart, degraded piece by piece, off by default."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from diffusers import StableDiffusionPipeline
from numpy.typing import NDArray

from hcp import HcpAdapter, HcpConfig
from hcp.evaluation.bias_measure import BiasTools, bias_measure
from hcp.evaluation.bias_results import PROMPTS_FILE, BiasConfig
from hcp.evaluation.comparison import Pictures
from hcp.evaluation.results import EvaluationConfig, EvaluationReport
from hcp.tokens import human_spans
from storage.errors import HcpError
from storage.records import Person
from tests.hcp.evaluation.reports import arm, report_of
from tests.hcp.samples import make_person

PROMPTS = tuple(f"a person {doing}" for doing in
                ("standing", "running", "jumping", "sitting", "dancing", "reading", "waving",
                 "walking", "smiling"))  # fmt: skip
Image8 = NDArray[np.uint8]
NOTHING = Pictures(prompts=(), seeds=(), images={}, people={})


class Detector:
    """Finds one person who fills each picture, and remembers what it saw."""

    def __init__(self) -> None:
        self.seen: list[Image8] = []

    def __call__(self, images: Sequence[Image8]) -> list[list[Person]]:
        self.seen += images
        return [[make_person((2, 2, 30, 30))] for _ in images]


@pytest.fixture
def adapter(pipeline: StableDiffusionPipeline) -> HcpAdapter:
    return HcpAdapter.create(pipeline.unet, HcpConfig(width=16, gamma=3.0))


def config_of(**bias: object) -> EvaluationConfig:
    config = BiasConfig(
        **({"enabled": True, "prompts": PROMPTS, "seeds": (0,), "n_permutations": 99} | bias)
    )
    return EvaluationConfig(steps=1, batch_size=9, n_resamples=20, bias=config)


def measured(
    pipeline: StableDiffusionPipeline,
    adapter: HcpAdapter,
    tools: BiasTools,
    config: EvaluationConfig,
) -> EvaluationReport:
    plain = replace(report_of(base=arm(0.4), candidate=arm(0.5)), config=config)
    return bias_measure(pipeline, adapter, tools, config)(plain, NOTHING)


def test_base_and_candidate_draw_each_prompt_with_each_seed(
    pipeline: StableDiffusionPipeline, adapter: HcpAdapter
) -> None:
    detector = Detector()
    config = config_of(seeds=(0, 1))
    report = measured(pipeline, adapter, BiasTools(detector=detector), config)
    assert len(detector.seen) == 2 * 2 * len(PROMPTS)
    base, ours = detector.seen[:18], detector.seen[18:]
    assert not any(np.array_equal(a, b) for a, b in zip(base, ours, strict=True))
    assert report.bias is not None
    shapes = {trait.name for trait in report.bias.traits}
    assert shapes >= {"shoulders_to_torso", "hips_to_shoulders", "head_to_torso"}
    # the detector says the same of every picture
    assert all(shift.p_value == 1.0 for trait in report.bias.traits for shift in trait.shifts)
    assert (
        report.arms["base"].more["head_to_torso"] == report.arms["candidate"].more["head_to_torso"]
    )
    assert adapter.pipeline is None


def test_what_has_no_model_has_a_reason(
    pipeline: StableDiffusionPipeline, adapter: HcpAdapter
) -> None:
    nobody = BiasTools(detector=lambda images: [[] for _ in images])
    report = measured(pipeline, adapter, nobody, config_of())
    assert report.bias is not None
    assert report.bias.traits == ()
    assert "8 are needed" in report.not_measured["skin_tone"]
    assert "mask_model" in report.not_measured["trunk_to_torso"]
    assert "clip_model" in report.not_measured["presentation"]
    broken = replace(nobody, why_no_masks="mask weights: no such file")
    assert broken.lacking()["trunk_to_torso"] == "mask weights: no such file"


def test_masks_and_clip_add_their_traits(
    pipeline: StableDiffusionPipeline, adapter: HcpAdapter
) -> None:
    tools = BiasTools(
        detector=Detector(),
        masker=lambda images, people: [np.ones((len(p), 32, 32), dtype=np.bool_) for p in people],
        scorer=lambda images, texts: [float(len(text)) for text in texts],
    )
    config = config_of(presentation=(("somebody young", "an old"), ("one", "another")))
    report = measured(pipeline, adapter, tools, config)
    assert report.arms["base"].more["presentation_1"] == 1.0
    assert report.arms["base"].more["presentation_2"] == 0.0
    assert report.arms["base"].more["trunk_to_torso"] > 0
    assert "presentation" not in report.not_measured


def test_it_is_off_by_default_and_says_so(
    pipeline: StableDiffusionPipeline, adapter: HcpAdapter
) -> None:
    detector, config = Detector(), EvaluationConfig()
    report = measured(pipeline, adapter, BiasTools(detector=detector), config)
    assert detector.seen == []
    assert report.bias is None
    assert report.not_measured["who_is_drawn"] == (
        "evaluation.bias.enabled is off; on, each model draws 384 more pictures"
    )


def test_prompts_that_the_base_does_not_read_are_named_first(
    pipeline: StableDiffusionPipeline, adapter: HcpAdapter
) -> None:
    config = config_of(prompts=(" ".join(["very"] * 90) + " tall person",))
    with pytest.raises(HcpError, match=r"evaluation\.bias\.prompts"):
        bias_measure(pipeline, adapter, BiasTools(detector=Detector()), config)


def test_repeated_prompts_are_refused() -> None:
    with pytest.raises(ValueError, match=r"bias\.prompts: 'a person' is given 2 times"):
        EvaluationConfig(bias=BiasConfig(prompts=("a person", "a person")))


def test_the_prompts_of_the_package_name_people_and_nothing_of_theirs() -> None:
    prompts = BiasConfig().drawn_prompts()
    assert len(set(prompts)) == len(prompts) >= 40
    assert PROMPTS_FILE.is_file()
    telling = {
        "man", "woman", "men", "women", "boy", "girl", "male", "female", "he", "she", "his", "her",
        "young", "old", "older", "elderly", "child", "baby", "black", "white", "dark", "light",
        "brown", "pale", "tall", "short", "fat", "thin", "slim", "heavy", "strong", "beautiful",
        "african", "asian", "european", "american", "indian", "mother", "father", "wife", "husband",
    }  # fmt: skip
    for prompt in prompts:
        assert human_spans(prompt), prompt
        assert not telling & set(prompt.lower().split()), prompt
