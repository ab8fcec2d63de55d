"""Deployments whose parameters cannot be used, and those that do not agree about a root."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flows.doctor.deployed import check_agreement, read_deployed
from flows.doctor.findings import Finding

VARIABLES = {"hcp_root": "/data", "hcp_source": "/photos", "hcp_base": "embedded"}
REBUILD = {"source": "variable:hcp_source", "root": "variable:hcp_root"}


def rows(*deployments: dict[str, Any]) -> Iterator[Finding]:
    deployed, wrong = read_deployed(
        [each | {"id": each["name"]} for each in deployments],
        {each["name"]: each["name"] for each in deployments},
        VARIABLES.get,
    )
    yield from wrong
    yield from check_agreement(deployed)


def deployment(name: str, params: dict[str, Any], *, scheduled: bool = True) -> dict[str, Any]:
    schedules = [{"active": scheduled}]
    return {"name": name, "paused": False, "schedules": schedules, "parameters": {"params": params}}


NIGHTLY = deployment("rebuild-dataset/nightly", REBUILD)


def weekly(**own: Any) -> dict[str, Any]:
    other = {"base": "variable:hcp_base", "out": "/out"}
    params = {"rebuild": REBUILD | own, "train": other, "evaluate": other}
    return deployment("rebuild-and-train/weekly", params)


def test_those_that_agree_and_those_of_other_roots_are_fine() -> None:
    (row,) = rows(NIGHTLY, weekly(), {"name": "their/own", "schedules": [], "parameters": {}})
    assert (row["state"], row["found"]) == ("ok", "2 write into 1 root, and agree")
    (row,) = rows(NIGHTLY, weekly(root="/other", unit_size=5))
    assert row["found"] == "2 write into 2 roots, and agree"
    quicker = {
        "extractor": {"batch_size": 32, "decode_threads": 8, "half": False},
        "workers": {"count": 3},
    }
    assert [row["state"] for row in rows(NIGHTLY, weekly(**quicker))] == ["ok"]


def test_other_extraction_settings_for_one_root_are_told() -> None:
    (row,) = rows(NIGHTLY, weekly(extractor={"imgsz": 320}, gate={"min_side_px": 64}))
    assert row["state"] == "bad"
    assert "nightly and rebuild-and-train/weekly write into /data with different" in row["found"]
    assert "gate.min_side_px: 256, 64; extractor.imgsz: 640, 320" in row["found"]
    assert "extracts every photo anew" in row["found"]
    assert "a root of its own" in row["do"]
    (row,) = rows(NIGHTLY, weekly(root="/data/", source="/elsewhere"))  # the same folder
    assert 'source: "/photos", "/elsewhere"' in row["found"]
    assert "latest version is now of the one" in row["found"]


def test_parameters_that_cannot_be_used_are_bad_where_a_schedule_starts_them(
    tmp_path: Path,
) -> None:
    unset = {"source": "variable:hcp_photos", "root": str(tmp_path)}
    (row,) = rows(deployment("rebuild-dataset/nightly", unset))
    assert row["state"] == "bad"
    assert "variable hcp_photos is not set" in row["found"]
    (row,) = rows(deployment("rebuild-dataset/x", REBUILD | {"unit_sise": 3}, scheduled=False))
    assert row["state"] == "note"
    assert "did you mean unit_size?" in row["found"]
