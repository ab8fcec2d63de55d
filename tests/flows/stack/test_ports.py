"""Ports on loopback: free, taken, and by whom."""

import os
import socket

from flows.stack.ports import HOST, any_free, holder, is_free


def test_a_port_is_free_until_somebody_listens_there() -> None:
    port = any_free()
    assert is_free(port)
    with socket.create_server((HOST, port)):
        assert not is_free(port)
        assert f"process {os.getpid()} (" in holder(port)
    assert is_free(port)


def test_ports_that_are_spoken_for_are_not_given() -> None:
    first = any_free()
    assert any_free(frozenset({first})) != first
