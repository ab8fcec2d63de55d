"""``hcp down`` takes no longer than its limit, whatever does not end by itself."""

import time
from pathlib import Path

from flows.stack.config import StackConfig, remember
from flows.stack.down import LIMIT_S, take_down
from flows.stack.processes import marked, start
from flows.stack.services import services

DEAF = (
    "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "print('deaf', flush=True)\ntime.sleep(600)"
)


def test_what_does_not_hear_is_killed_in_time_and_told(tmp_path: Path) -> None:
    config = StackConfig(folder=tmp_path)
    remember(config)
    (worker,) = (each for each in services(config) if each.name == "worker")
    deaf = type(worker)(
        name="worker", command=("-c", DEAF, worker.sign), sign=worker.sign, library="", link=""
    )
    process = start(deaf, tmp_path, {})
    while "deaf" not in (tmp_path / "logs" / "worker.log").read_text():
        time.sleep(0.05)
    assert [each.pid for each in marked(tmp_path)] == [process.pid]
    told: list[str] = []
    begun = time.monotonic()
    assert take_down(tmp_path, told.append, limit_s=2.0) == 1
    assert time.monotonic() - begun < 15
    assert told == ["worker did not end within 1 s, and will be killed"]
    assert marked(tmp_path) == []
    assert LIMIT_S <= 30
