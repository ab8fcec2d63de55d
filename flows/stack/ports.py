"""TCP ports on loopback: which are free, and who holds one that is not."""

import errno
import socket
from contextlib import suppress

import psutil

HOST = "127.0.0.1"
MAX_PORT = 65535


def is_free(port: int) -> bool:
    """Whether a server could listen there now.

    Raises:
        OSError: this user may not listen there at all, such as below 1024.
    """
    with socket.socket() as probe:
        # As servers do: what a former connection left behind does not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise
    return True


def any_free(but: frozenset[int] = frozenset()) -> int:
    """A free port that is none of ``but``."""
    while True:
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            port = int(probe.getsockname()[1])
        if port not in but:
            return port


def holder(port: int) -> str:
    """Who listens on a port, in words."""
    with suppress(psutil.AccessDenied):
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN
            if not listens or not connection.laddr or connection.laddr.port != port:
                continue
            if connection.pid is None:
                break
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                command = " ".join(psutil.Process(connection.pid).cmdline())
                return f"process {connection.pid} ({command:.120})"
    return "a process of another user, or of another container"
