"""Processes that belong to a stack, and no others."""

import subprocess
import sys
import time
from pathlib import Path

import psutil

from flows.stack.processes import kill_all, last_lines, leader, log_file, marked, start
from flows.stack.services import Service

# A process with two children, one of which has lost its mark, as Ray's workers do.
_FAMILY = (
    "import os, subprocess, sys, time; print('begun', flush=True); "
    "sleep = [sys.executable, '-c', 'import time; time.sleep(60)']; "
    "subprocess.Popen(sleep, env={}); subprocess.Popen(sleep); time.sleep(60)"
)


def _service(name: str = "family") -> Service:
    return Service(name=name, command=("-c", _FAMILY), sign="begun", library="json", link="")


def _of_three(folder: Path) -> list[psutil.Process]:
    deadline = time.monotonic() + 20
    while len(found := marked(folder)) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def test_children_without_the_mark_are_found_and_nothing_is_left(tmp_path: Path) -> None:
    other, mine = tmp_path / "a b", tmp_path / "a"
    for folder in (other, mine):
        folder.mkdir()
    begun = start(_service(), mine, {})
    bystander = start(_service(), other, {})
    try:
        found = _of_three(mine)
        assert len(found) == 3
        assert leader(_service(), found) == psutil.Process(begun.pid)
        assert leader(_service("x"), _of_three(other)) == psutil.Process(bystander.pid)
        begun.kill()  # its children are left, one of them without parent or mark
        begun.wait()
        assert kill_all(mine) == []
        psutil.wait_procs(found, timeout=20)
        assert not [each for each in found if each.is_running() and each.status() != "zombie"]
        assert bystander.poll() is None
        assert last_lines(log_file(mine, "family")) == "  begun"
    finally:
        assert kill_all(other) == []
        bystander.wait()


def test_what_else_runs_in_a_terminal_is_left_alone(tmp_path: Path) -> None:
    """A process whose mark came from elsewhere: neither its parents nor its session are ours."""
    environment = {"PYTHONPATH": str(Path(__file__).parents[3])}
    code = (
        "import subprocess, sys, psutil; from pathlib import Path\n"
        "from flows.stack.processes import kill_all\n"
        "sleep = [sys.executable, '-c', 'import time; time.sleep(60)']\n"
        "other = subprocess.Popen(sleep, env={})\n"
        f"same = subprocess.Popen(sleep, env={{'_HCP_STACK': {str(tmp_path)!r}}})\n"
        f"left = kill_all(Path({str(tmp_path)!r}))\n"
        "print(left, psutil.pid_exists(same.pid), other.poll()); other.kill()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, start_new_session=True,
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "[] False None"
