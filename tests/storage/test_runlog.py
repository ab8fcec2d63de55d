"""Run logs append JSON lines."""

import json

import fsspec

from storage.layout import Root
from storage.runlog import RunLog


def test_lines_are_appended(tmp_path):
    for _ in range(2):
        with RunLog(Root.of(tmp_path), "re build/1") as log:
            log.append("unit_done", seconds=1.5, path=tmp_path)
    (file,) = (tmp_path / "runs").iterdir()
    assert file.name == "re-build-1.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["event"] for line in lines] == ["unit_done"] * 2
    assert lines[0]["seconds"] == 1.5
    assert lines[0]["time_s"] <= lines[1]["time_s"]


def test_object_stores_get_the_log_at_the_end(tmp_path):
    with RunLog(Root(f"memory://log-{tmp_path.name}"), "r") as log:
        log.append("a")
        log.append("b")
    data = fsspec.filesystem("memory").cat_file(f"/log-{tmp_path.name}/runs/r.jsonl")
    assert [json.loads(line)["event"] for line in data.splitlines()] == ["a", "b"]
