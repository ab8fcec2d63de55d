"""Run logs: what depends on when and where a run happened; nothing else may hold it."""

import json
import re
import secrets
import time
from datetime import UTC, datetime

from storage.durable import is_unable
from storage.layout import Root
from storage.locations import is_local, local_path, write_atomic


class RunLog:
    """Appends JSON lines to ``<root>/runs/<run_name>.jsonl``.

    Object stores cannot append, nor can some of their mounts: there each run puts one object when
    its log closes, ``<run_name>-<time>-<chance>.jsonl``, so that the names' order is the runs'.
    """

    def __init__(self, root: Root, run_name: str) -> None:
        safe = re.sub(r"[^A-Za-z0-9._-]", "-", run_name).lstrip(".") or "run"
        now = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
        self._own = root.run_log(f"{safe}-{now}Z-{secrets.token_hex(3)}")
        self._appends = is_local(root.uri)
        self.uri = root.run_log(safe) if self._appends else self._own
        self._lines: list[str] = []

    def append(self, event: str, **facts: object) -> None:
        """Add one line: ``time_s`` (Unix), ``event`` and the facts (what is not JSON as text)."""
        line = json.dumps(
            {"time_s": round(time.time(), 3), "event": event} | facts,
            ensure_ascii=False,
            default=str,
        )
        if not self._appends or not self._append(line):
            self._lines.append(line)

    def _append(self, line: str) -> bool:
        path = local_path(self.uri)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
        except OSError as error:
            if not is_unable(error) and not isinstance(error, PermissionError):
                raise
            self._appends, self.uri = False, self._own
        return self._appends

    def close(self) -> None:
        """Put what an object store has not got yet."""
        if self._lines:
            write_atomic(self.uri, ("\n".join(self._lines) + "\n").encode())

    def __enter__(self) -> "RunLog":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
