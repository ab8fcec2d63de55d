"""Run logs append JSON lines."""

import json
import re

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


def test_each_run_on_an_object_store_has_a_log_of_its_own(tmp_path):
    root = Root(f"memory://log-{tmp_path.name}")
    for run in range(3):
        with RunLog(root, "rebuild") as log:
            log.append("a", run=run)
            log.append("b", run=run)
    store = fsspec.filesystem("memory")
    files = sorted(store.ls(f"/log-{tmp_path.name}/runs", detail=False))
    assert len(files) == 3
    assert all(re.search(r"/rebuild-\d{8}T\d{6}\.\d{6}Z-\w+\.jsonl$", file) for file in files)
    lines = [json.loads(line) for file in files for line in store.cat_file(file).splitlines()]
    assert [(line["event"], line["run"]) for line in lines] == [
        (event, run) for run in range(3) for event in "ab"
    ]
