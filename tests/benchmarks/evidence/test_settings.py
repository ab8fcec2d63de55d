"""The committed settings, and what is wrong in one's own."""

from pathlib import Path

import pytest

from benchmarks.evidence.settings import FOLDER, read_settings

FILES = sorted(FOLDER.glob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_committed_arm_is_a_training_of_the_product(path: Path) -> None:
    settings = read_settings(path)
    assert settings.seeds >= 3
    assert settings.prompts >= 200
    assert settings.others >= 60
    for arm in settings.arms:
        config = settings.train_config(arm, seed=7, changes={"hcp": {"width": 40}})
        assert (config.seed, config.hcp.init_seed, config.hcp.width) == (7, 7, 40)
    paper = settings.train_config("hcp-paper", seed=0, changes={}).plain().hcp
    assert (paper.start, paper.value, paper.gate) == ("flat", "frozen", "fixed")
    assert settings.train_config("hcp-paper-no-loss", seed=0, changes={}).hcp.alignment.alpha == 0


def test_an_arm_may_have_a_learning_rate_of_its_own(tmp_path: Path) -> None:
    text = (FOLDER / "embedded.yaml").read_text() + "\nlearning_rates: {full: 1e-4}\n"
    path = tmp_path / "own.yaml"
    path.write_text(text)
    settings = read_settings(path)
    assert settings.train_config("full", seed=0, changes={}).learning_rate == 1e-4
    assert settings.train_config("lora", seed=0, changes={}).learning_rate == 1e-3
    tried = settings.train_config("full", seed=0, changes={"learning_rate": 3e-4})
    assert tried.learning_rate == 3e-4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("default: hcp-new", "no such arm: hcp-new"),
        ("prompt: 3", "expected fields among"),
        ("training: {step: 3}", "step"),
        ("arms: {base: {}}", "no such arm"),
    ],
)
def test_what_is_wrong_is_said_with_the_file(tmp_path: Path, change: str, message: str) -> None:
    path = tmp_path / "own.yaml"
    path.write_text((FOLDER / "embedded.yaml").read_text() + f"\n{change}\n")
    with pytest.raises(ValueError, match=message):
        read_settings(path).train_config("lora", seed=0, changes={})
