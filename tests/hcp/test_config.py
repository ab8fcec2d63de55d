"""Settings: defaults, checks, and the way through JSON."""

import json
import subprocess
import sys
from typing import Any

import pytest

from hcp.config import AlignmentConfig, HcpConfig, PriorTable, StageTable


def test_defaults_are_the_design() -> None:
    config = HcpConfig()
    assert (config.width, config.gamma, config.gate) == (1024, 1.0, "fixed")
    assert config.stages == ("mid", "up")
    assert config.alignment.alpha == 0.1
    assert config.alignment.stages == StageTable(down="off", mid="early", up="late")
    assert config.alignment.priors.person == ("heatmap", "mask")
    assert config.alignment.priors.action == ("heatmap",)


def test_json_round_trip() -> None:
    config = HcpConfig(
        width=64,
        gate="zero",
        stages=("down", "mid"),
        map_scales=(2, 4),
        alignment=AlignmentConfig(
            distance="centred_cosine",
            stages=StageTable(mid="constant"),
            priors=PriorTable(person=("resnet50",)),
        ),
    )
    assert HcpConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


@pytest.mark.parametrize(
    "change",
    [
        {"width": 0},
        {"width": "wide"},
        {"gate": "open"},
        {"activation": "tanh"},
        {"gamma": float("nan")},
        {"stages": []},
        {"stages": ["up", "up"]},
        {"stages": ["left"]},
        {"map_scales": [0]},
        {"heads": 3},
        {"alignment": {"alpha": -1}},
        {"alignment": {"distance": "l2"}},
        {"alignment": {"stages": {"mid": "sometimes"}}},
        {"alignment": {"priors": {"person": []}}},
        {"alignment": {"priors": {"person": ["depth"]}}},
        {"alignment": 3},
    ],
)
def test_bad_values_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"must be|needs|not an HcP config"):
        HcpConfig.from_json({**HcpConfig().to_json(), **change})


def test_importing_the_package_loads_no_torch() -> None:
    code = "import sys, hcp, hcp.tokens, hcp.config; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_public_names_resolve() -> None:
    import hcp

    assert hcp.HcpConfig is HcpConfig
    assert hcp.HcpAdapter.__name__ == "HcpAdapter"
    with pytest.raises(AttributeError, match="HcpNothing"):
        _ = hcp.HcpNothing
