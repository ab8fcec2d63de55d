"""`pytest` alone starts no server: whoever starts one says so with a marker."""

import subprocess

import pytest


def test_ray_and_prefect_need_their_marker() -> None:
    for command in (["echo", "raylet"], ["echo", "prefect", "server", "start"]):
        with pytest.raises(RuntimeError, match="needs the marker"):
            subprocess.run(command, check=True)
    subprocess.run(["echo", "something else"], check=True, stdout=subprocess.DEVNULL)


@pytest.mark.ray
def test_a_marked_test_may_start_ray() -> None:
    subprocess.run(["echo", "raylet"], check=True, stdout=subprocess.DEVNULL)
