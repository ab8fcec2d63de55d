"""One Ray connection per run, and what it leaves alone."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import psutil
import pytest

from flows.machine import Machine
from flows.ray_cluster import GIB
from flows.ray_session import cancel_remote, local_resources, ray_session, run_remote


@pytest.mark.ray
def test_sessions_nest_and_leave_the_signal_handler(caplog: pytest.LogCaptureFixture) -> None:
    import ray

    def refuse(number: int) -> int:
        if number > 1:
            raise ValueError(f"too many: {number}")
        return os.getpid()

    def expect(errors: list[Exception]) -> None:
        try:
            run_remote(time.sleep, 600)
        except Exception as error:
            errors.append(error)

    def warnings() -> list[str]:
        return [r.getMessage() for r in caplog.records if "ray_address" in r.getMessage()]

    handler = signal.getsignal(signal.SIGTERM)
    with ray_session("local") as outer:
        assert outer.cpus >= 1
        assert not warnings()
        with ray_session("ray://nowhere:1") as inner:  # inside a session it connects to nothing
            assert inner.address == outer.address
        (said,) = warnings()
        assert "ray_address ray://nowhere:1 is not used: this run works on local" in said
        for same in (None, "local", outer.address):
            with ray_session(same):
                assert len(warnings()) == 1
        assert ray.is_initialized()
        assert run_remote(refuse, 1) != os.getpid()
        with pytest.raises(ValueError, match="too many: 2"):
            run_remote(refuse, 2)
        begun, errors = time.monotonic(), list[Exception]()
        thread = threading.Thread(target=expect, args=(errors,))
        thread.start()
        while thread.is_alive() and time.monotonic() - begun < 60:
            cancel_remote()
            thread.join(0.5)
        assert len(errors) == 1
        nodes = [child for child in psutil.Process().children() if child.name() == "raylet"]
        family = [each for node in nodes for each in [node, *node.children(recursive=True)]]
    assert family
    assert psutil.wait_procs(family, timeout=30)[1] == []
    assert not ray.is_initialized()
    assert signal.getsignal(signal.SIGTERM) is handler


def test_d02_a_local_ray_hands_out_what_the_process_may_use() -> None:
    small = Machine(cpus=1.5, memory_bytes=4 * GIB, free_bytes=3 * GIB)
    found = local_resources(small)
    assert found["num_cpus"] == 1
    assert found["object_store_memory"] + found["_memory"] == 3 * GIB
    large = local_resources(Machine(cpus=64, memory_bytes=256 * GIB, free_bytes=200 * GIB))
    assert large["_memory"] == 198 * GIB  # no third of it for an object store that stays empty
    none = local_resources(Machine(cpus=0.25, memory_bytes=GIB, free_bytes=0))
    assert none["num_cpus"] == 1
    assert min(none.values()) > 0


@pytest.mark.ray
@pytest.mark.parametrize("early", [True, False])
def test_d03_ray_does_not_pack_the_folder_under_uv_run(early: bool, tmp_path: Path) -> None:
    (tmp_path / "run").write_text('"$@"\n')  # what `uv run` looks like to its children
    program = f"""
        import sys
        {"import ray" if early else ""}
        from flows.ray_inside import leave_uv_alone
        leave_uv_alone()
        import ray
        from ray._private.runtime_env.uv_runtime_env_hook import _get_uv_run_cmdline
        from ray._private.worker import _maybe_modify_runtime_env
        assert _get_uv_run_cmdline()[:2] == ["uv", "run"]
        print(_maybe_modify_runtime_env(None, False))
    """
    script = ["bash", "-c", 'exec -a uv bash run "$@"', "-", sys.executable, "-c"]
    path = os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])
    for wanted, said in ((None, "None"), ("1", "working_dir")):
        environment = {**os.environ, "PYTHONPATH": path} | (
            {"RAY_ENABLE_UV_RUN_RUNTIME_ENV": wanted} if wanted else {}
        )
        done = subprocess.run(
            [*script, textwrap.dedent(program)],
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert said in done.stdout, done.stderr
