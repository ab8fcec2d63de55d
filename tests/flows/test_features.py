"""The feature network of the settings: found, or why not."""

from pathlib import Path

import pytest
import torch

from demo.embedded import SAM_DIR
from flows.features import feature_space
from hcp.evaluation.fidelity.space import FeatureSpace
from priors import weights
from priors.weights import KNOWN_WEIGHTS


@pytest.mark.parametrize("name", ["embedded", str(SAM_DIR)])
def test_the_embedded_sam_is_one(name: str) -> None:
    space = feature_space(name, device="cpu")
    assert isinstance(space, FeatureSpace)
    assert "Sam" in space.name
    assert not space.is_clip


def test_without_one_the_setting_is_named() -> None:
    assert "evaluate.features" in str(feature_space(None, device="cpu"))


def test_what_cannot_be_had_is_a_reason_and_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "gone" in str(feature_space(str(tmp_path / "gone"), device="cpu"))
    other = tmp_path / "weights-inception.pth"
    torch.save({"of": "somebody"}, other)
    assert "not in the table" in str(feature_space(str(other), device="cpu"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    row = KNOWN_WEIGHTS["inception"]
    away = weights.KnownWeights(kind=row.kind, url=(tmp_path / "away").as_uri(), sha256=row.sha256)
    monkeypatch.setitem(KNOWN_WEIGHTS, "inception", away)
    assert "could not fetch" in str(feature_space("inception", device="cpu"))
