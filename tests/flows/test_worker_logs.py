"""What a worker warns of is sent once, and too much of one kind is counted."""

import inspect
import logging
from collections.abc import Iterator
from importlib import import_module

import pytest

from flows.worker_logs import EACH, HARMLESS, MAX_WAITING, Box, Line, Sender, attach


@pytest.fixture
def sent() -> Iterator[list[Line]]:
    """What a sender at these loggers sends."""
    lines: list[Line] = []
    sender = Sender(lines.append, "node 1, pid 2")
    attach(sender, names := ("worker_logs_test", ""))
    yield lines
    for name in names:
        logging.getLogger(name).removeHandler(sender)


LOG = logging.getLogger("worker_logs_test.module")


def test_warnings_and_errors_are_sent_once_and_nothing_less(sent: list[Line]) -> None:
    LOG.info("quiet")
    LOG.warning("batch of %d", 4)
    LOG.error("broken")
    try:
        raise OSError("disk")
    except OSError:
        LOG.exception("not written")
    logging.getLogger("another.library").warning("old")
    assert [line.text for line in sent] == [
        "worker_logs_test.module [node 1, pid 2]: batch of 4",
        "worker_logs_test.module [node 1, pid 2]: broken",
        "worker_logs_test.module [node 1, pid 2]: not written: OSError: disk",
        "another.library [node 1, pid 2]: old",
    ]
    assert [line.level for line in sent] == [30, 40, 40, 30]


def test_what_is_told_on_another_way_is_not_sent(sent: list[Line]) -> None:
    LOG.warning("note", extra={"told": True})
    assert sent == []


@pytest.mark.parametrize("name", HARMLESS)
def test_what_ray_says_each_second_without_a_dashboard_is_not_sent(name: str) -> None:
    assert HARMLESS[name] in inspect.getsource(import_module(name))  # it still says so
    lines: list[Line] = []
    for text in (f"{HARMLESS[name]} Train Controller actor state.", "Failed to clean up: why"):
        record = logging.makeLogRecord({"name": name, "levelno": logging.WARNING, "msg": text})
        Sender(lines.append, "here").handle(record)
    assert [line.text for line in lines] == [f"{name} [here]: Failed to clean up: why"]


def test_too_many_of_one_kind_are_counted_and_said(sent: list[Line]) -> None:
    for number in range(250):
        LOG.warning("photo %d", number)
    LOG.warning("another")
    assert len(sent) == EACH + 7 + 2 + 1  # 30 to 90, the 100th, the 200th
    assert "message 20 of this kind" in sent[EACH - 1].text
    assert "photo 199 (message 200" in sent[-2].text
    assert "another" in sent[-1].text


def test_a_message_that_is_no_text_or_a_driver_that_is_gone_ends_nothing() -> None:
    def gone(_: Line) -> None:
        raise ConnectionError("no driver")

    for send in (gone, [].append):
        for message, args in (("%d", ("no number",)), ("text", ())):
            record = LOG.makeRecord(LOG.name, logging.WARNING, "file", 1, message, args, None)
            Sender(send, "here").handle(record)


def test_a_box_keeps_the_newest_and_says_what_it_lost() -> None:
    box = Box()
    assert box.take() == []
    for number in range(MAX_WAITING + 3):
        box.put(Line(level=logging.ERROR, text=str(number)))
    lines = box.take()
    assert lines[0].text.startswith("3 earlier")
    assert (lines[1].text, lines[-1].text) == ("3", str(MAX_WAITING + 2))
    assert box.take() == []
