"""A webhook on loopback, which keeps what it gets."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Webhook:
    """What a local webhook has got, and when."""

    url: str
    messages: list[tuple[float, dict[str, str]]] = field(default_factory=list)

    def about(self, name: str) -> list[tuple[float, dict[str, str]]]:
        """The messages whose subject names a run."""
        return [each for each in self.messages if name in each[1]["subject"]]


@contextmanager
def webhook() -> Iterator[Webhook]:
    """Run one."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            hook.messages.append((time.monotonic(), json.loads(body)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        hook = Webhook(url=f"http://127.0.0.1:{server.server_port}/hook")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield hook
        server.shutdown()
