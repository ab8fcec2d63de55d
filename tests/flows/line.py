"""A line to a server that can be cut and mended, as a network or a restart does it."""

import socket
import threading
from contextlib import suppress
from urllib.parse import urlsplit, urlunsplit

_CHUNK_BYTES = 65536


class Line:
    """Forwards a port of its own to that of a URL; nobody listens there while it is cut."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._target = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener = self._listen(0)
        self._port: int = self._listener.getsockname()[1]
        self.url = urlunsplit(parts._replace(netloc=f"127.0.0.1:{self._port}"))

    def cut(self) -> None:
        """Close what is connected, and refuse what would connect."""
        self._end(self._listener)
        with self._lock:
            sockets, self._open = self._open, set()
        for each in sockets:
            self._end(each)

    def mend(self) -> None:
        """Listen again, on the same port."""
        self._listener = self._listen(self._port)

    def __enter__(self) -> "Line":
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()

    def _listen(self, port: int) -> socket.socket:
        listener = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return listener

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            far = socket.create_connection(self._target)
            with self._lock:
                self._open |= {near, far}
            for pair in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=pair, daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while chunk := source.recv(_CHUNK_BYTES):
                target.sendall(chunk)
        self._end(source)
        self._end(target)

    @staticmethod
    def _end(each: socket.socket) -> None:
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        each.close()
