"""A Ray that a process has started ends with it, however that ends, and not before."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest

PROGRAM = """
    import time
    import ray
    from flows.ray_session import ray_session
    with ray_session("local"):
        ray.get(ray.remote(lambda: 1).remote())
        print("begun", flush=True)
        time.sleep(600)
"""


@pytest.mark.ray
def test_where_the_process_is_killed_nothing_is_left_and_no_signal_to_its_group_ends_ray() -> None:
    root = str(Path(__file__).parents[2])
    driver = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PROGRAM)],
        env=os.environ | {"PYTHONPATH": root}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert driver.stdout is not None
    assert driver.stdout.readline() == "begun\n"
    family = psutil.Process(driver.pid).children(recursive=True)
    assert any(process.name() == "raylet" for process in family)
    assert os.getpgid(driver.pid) not in {os.getpgid(process.pid) for process in family}
    agents = [process for process in family if "Agent" in process.name()]
    assert agents
    driver.kill()
    driver.wait(30)
    assert psutil.wait_procs(agents, timeout=50)[1] == []  # they stayed for more than a minute
    assert psutil.wait_procs(family, timeout=100)[1] == []
