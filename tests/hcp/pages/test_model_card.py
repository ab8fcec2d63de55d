"""The model card: front matter that the hub reads, facts, figures, and nothing of this machine."""

import json

import pytest
from huggingface_hub import ModelCard

from hcp.pages.model_card import CardFacts, model_card, named, with_evaluation

BASE = "stable-diffusion-v1-5/stable-diffusion-v1-5"
FACTS = CardFacts(
    base=BASE,
    dataset_version="0123abcd",
    step=20,
    license="apache-2.0",
    losses={"loss": (0.5, 0.25), "alignment": (0.75, 0.625)},
    settings={"steps": 20, "resnet_weights": "/home/me/resnet.pt", "hcp": {"stages": ("mid",)}},
)


def test_the_hub_reads_the_front_matter() -> None:
    data = ModelCard(model_card(FACTS)).data.to_dict()
    assert data == {
        "base_model": BASE,
        "library_name": "diffusers",
        "license": "apache-2.0",
        "pipeline_tag": "text-to-image",
        "tags": ["hcp", "text-to-image", "diffusers", "people"],
    }


def test_it_tells_data_settings_figures_and_use() -> None:
    card = model_card(FACTS)
    for line in (
        "# HcP adapter for " + BASE,
        "| dataset version | 0123abcd |",
        "| optimizer steps | 20 |",
        "| licence | apache-2.0 |",
        "| loss | 0.5000 | 0.2500 |\n| alignment | 0.7500 | 0.6250 |",
        "Not evaluated yet.",
    ):
        assert line in card
    settings = json.loads(card.partition("```json\n")[2].partition("```")[0])
    assert settings == {"steps": 20, "resnet_weights": "resnet.pt", "hcp": {"stages": ["mid"]}}
    code = card.partition("```python\n")[2].partition("```")[0]
    compile(code, "card", "exec")
    assert len(code.splitlines()) == 2
    assert 'from_pretrained("me/people")' in named(card, "me/people")
    assert "--checkpoint me/people" in named(card, "me/people")


@pytest.mark.parametrize("base", ["/home/me/models/tuned", "s3://bucket/models/tuned"])
def test_a_base_of_this_machine_is_told_by_its_last_name_alone(base: str) -> None:
    card = model_card(CardFacts(base=base, method="lora"))
    data = ModelCard(card).data.to_dict()
    assert "base_model" not in data
    assert (data["license"], data["license_name"]) == ("other", "not-chosen")
    assert "| base model | tuned |" in card
    assert "HcpAdapter" not in card
    assert "models/tuned" not in card


def test_what_is_not_known_leaves_no_hole() -> None:
    card = model_card(CardFacts(base=None))
    assert "| base model | not known |" in card
    assert "None" not in card
    assert "## Training" not in card
    assert "\n\n\n" not in card


def test_figures_of_the_last_evaluation_replace_those_before() -> None:
    rows = [{"measure": "people_score", "base": 0.5, "candidate": 0.625}, {"measure": "fid"}]
    once = with_evaluation(model_card(FACTS), rows, verdict="Gate passed.", judge="/x/pose.pt")
    assert "Not evaluated" not in once
    assert "Gate passed. People judged by pose.pt" in once
    assert "| people_score | 0.5 | 0.625 |\n| fid |  |  |\n" in once
    again = with_evaluation(once, rows[1:], verdict=r"Gate \1 not passed", judge="pose.pt")
    assert again.count("## Evaluation") == 1
    assert "people_score" not in again
    assert again.startswith(model_card(FACTS).partition("## Evaluation")[0])
    assert with_evaluation("# Mine\n", rows, verdict="v", judge="j").startswith("# Mine\n\n## Eval")
