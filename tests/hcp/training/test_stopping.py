"""SIGTERM asks once, then does what it did before."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hcp.training import stopping
from hcp.training.stopping import Mailbox, ask_all, note_sigterm, sigterm_asks, watch


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    handler = signal.getsignal(signal.SIGTERM)
    stopping.ASKED.clear()
    yield
    signal.signal(signal.SIGTERM, handler)
    stopping.ASKED.clear()


def test_a_worker_notes_the_first_one_and_ends_with_the_second() -> None:
    before: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: before.append(number))
    note_sigterm()
    os.kill(os.getpid(), signal.SIGTERM)
    assert stopping.ASKED.is_set()
    assert before == []
    os.kill(os.getpid(), signal.SIGTERM)
    assert before == [signal.SIGTERM]


def test_the_driver_is_asked_and_hands_on_afterwards() -> None:
    before: list[int] = []

    def handler(number: int, _frame: object) -> None:
        before.append(number)

    signal.signal(signal.SIGTERM, handler)
    with sigterm_asks(60) as request:
        assert not request.asked
        os.kill(os.getpid(), signal.SIGTERM)
        assert request.asked
        request.end_after_grace()
        assert before == []
    assert signal.getsignal(signal.SIGTERM) is handler
    request.hand_on()
    assert before == [signal.SIGTERM]


def test_after_the_grace_time_it_ends_as_ever() -> None:
    before: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: before.append(number))
    with sigterm_asks(0.0) as request:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)
        request.end_after_grace()
        request.end_after_grace()
        assert before == [signal.SIGTERM]


def test_nothing_was_set_before_so_a_second_signal_kills() -> None:
    code = (
        "import os, signal\nfrom hcp.training.stopping import sigterm_asks\n"
        "with sigterm_asks(60):\n    os.kill(os.getpid(), 15)\n    print('alive', flush=True)\n"
        "    os.kill(os.getpid(), 15)\nprint('never')"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (-signal.SIGTERM, "alive\n")


def test_in_another_thread_nothing_is_set() -> None:
    seen: list[bool] = []

    def run() -> None:
        with sigterm_asks(1) as request:
            seen.append(request.asked)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [False]


def test_mail_is_taken_once_in_order() -> None:
    box = Mailbox()
    box.put("step", {"step": 1})
    box.put("note", "a sentence")
    assert box.take() == [("step", {"step": 1}), ("note", "a sentence")]
    assert box.take() == []
    assert not box.stopping()
    box.stop()
    assert box.stopping()


def test_a_worker_watches_and_survives_a_call_that_fails() -> None:
    answers = iter([RuntimeError("gone"), False, True])

    def stop() -> bool:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    watch(stop, every_s=0.01)
    assert stopping.ASKED.wait(5)


def test_all_trainings_of_this_process_are_asked_whatever_their_thread() -> None:
    asked: dict[str, bool] = {}
    began, go_on = threading.Barrier(3), threading.Event()

    def train(name: str) -> None:
        with sigterm_asks(60) as request:
            began.wait(10)
            assert go_on.wait(10)
            asked[name] = request.asked

    threads = [threading.Thread(target=train, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    began.wait(10)
    ask_all()
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert asked == {"a": True, "b": True}
    with sigterm_asks(60) as later:
        assert not later.asked


def test_the_grace_time_runs_from_the_first_time() -> None:
    before: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: before.append(number))
    with sigterm_asks(0.2) as request:
        request.ask()
        signal.signal(signal.SIGTERM, request.before)
        time.sleep(0.3)
        request.ask()
        request.end_after_grace()
    assert before == [signal.SIGTERM]
