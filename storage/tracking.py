"""One MLflow run for each training: settings, dataset versions, metrics by step, files.

Everything is sent by a thread of its own (``storage.background``): the training never waits for
MLflow, and a server that is away ends nothing.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal

from storage.background import Background
from storage.errors import RegistryError
from storage.mlflow_calls import MlflowCalls, check_tracking_uri, without_secrets
from storage.mlflow_runs import (
    MAX_KEY,
    MAX_METRICS,
    MAX_TAG,
    RunFacts,
    begin_run,
    dataset_input,
    facts_as_batches,
    log_file,
    logged_steps,
    logged_tags,
)

logger = logging.getLogger(__name__)

Status = Literal["FINISHED", "FAILED", "KILLED"]

CLOSE_S = 60.0  # how long the end of a training waits for what is still on its way
_REFUSED = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_DOES_NOT_EXIST")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Metrics:
    series: str
    step: int
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    name: str
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tags:
    values: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _End:
    status: Status


_Item = _Metrics | _File | _Tags | _End


class TrackedRun:
    """An MLflow run in the making; no method waits for MLflow or raises its errors."""

    def __init__(
        self,
        tracking_uri: str,
        facts: RunFacts,
        *,
        say: Callable[[str], None] = logger.warning,
    ) -> None:
        """Begin the run, or go on with the one of the same key, in the background.

        Raises:
            RegistryError: the URI is of no kind that MLflow could use.
        """
        check_tracking_uri(tracking_uri)
        self._say = say
        self.tracking_uri = tracking_uri
        self._facts = facts
        self._calls: MlflowCalls | None = None
        self._run: tuple[str, str] | None = None  # experiment and run id
        self._begun = False
        self._logged: dict[str, int] = {}
        self._refused: set[str] = set()
        self._sender = Background[_Item](
            self._send, to=f"MLflow {without_secrets(tracking_uri)}", say=say
        )
        self.tag({})  # begins at once, so that the run shows before its first step

    @property
    def run_id(self) -> str | None:
        """MLflow's id; None until MLflow was reached."""
        return None if self._run is None else self._run[1]

    @property
    def url(self) -> str | None:
        """The run's page; None where no server shows it, or none was reached yet."""
        if self._run is None or not self.tracking_uri.startswith("http"):
            return None
        experiment, run = self._run
        return f"{self.tracking_uri.rstrip('/')}/#/experiments/{experiment}/runs/{run}"

    def metrics(self, step: int, values: Mapping[str, float], *, series: str = "train") -> None:
        """Values of one step; steps of a series rise, and one that MLflow has is left out."""
        self._sender.put(_Metrics(series=series, step=step, values=values))

    def file(self, name: str, content: bytes) -> None:
        """A file of the run; ``name`` may have folders, and replaces one of the same name."""
        self._sender.put(_File(name=name, content=content))

    def tag(self, values: Mapping[str, str]) -> None:
        """Tags, which are found and seen in MLflow's lists."""
        self._sender.put(_Tags(values=values))

    def wait(self, timeout_s: float) -> bool:
        """Wait until MLflow has everything up to now; False where that took too long."""
        return self._sender.flush(timeout_s)

    def close(self, status: Status = "FINISHED", *, timeout_s: float = CLOSE_S) -> None:
        """End the run and wait for what is on its way, but not longer than that."""
        self._sender.put(_End(status=status))
        self._sender.close(timeout_s)

    def __enter__(self) -> "TrackedRun":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.close("FAILED" if issubclass(kind, Exception) else "KILLED")

    def _send(self, items: Sequence[_Item]) -> None:
        if not self._begun:
            self._begin()
        waiting: list[_Metrics] = []
        for item in items:
            if isinstance(item, _Metrics):
                waiting.append(item)
                if sum(len(each.values) for each in waiting) < MAX_METRICS // 2:
                    continue
            self._send_metrics(waiting)
            waiting = []
            if not isinstance(item, _Metrics):
                self._send_other(item)
        self._send_metrics(waiting)

    def _send_metrics(self, items: Sequence[_Metrics]) -> None:
        from mlflow.entities import Metric

        now_ms, found, logged = int(time.time() * 1000), list[Any](), dict(self._logged)
        for item in items:
            if item.step <= logged.get(item.series, -1):
                continue
            logged[item.series] = item.step
            found += [Metric(k[:MAX_KEY], v, now_ms, item.step) for k, v in item.values.items()]
        if found:
            tags = logged_tags(logged)
            self._ask("log_batch", metrics=found[: MAX_METRICS - len(tags)], tags=tags)
            self._logged = logged

    def _send_other(self, item: _File | _Tags | _End) -> None:
        from mlflow.entities import RunTag

        if isinstance(item, _End):
            self._ask("set_terminated", status=item.status)
        elif isinstance(item, _Tags):
            tags = [RunTag(key, value[:MAX_TAG]) for key, value in item.values.items()]
            if tags:
                self._ask("log_batch", tags=tags)
        else:
            assert self._calls is not None
            assert self.run_id is not None
            log_file(self._calls, self.run_id, item.name, item.content)

    def _begin(self) -> None:
        self._calls = self._calls or MlflowCalls(self.tracking_uri)
        run = begin_run(self._calls, self._facts)
        self._logged = logged_steps(run)
        self._run = (str(run.info.experiment_id), str(run.info.run_id))
        for batch in facts_as_batches(self._facts, dict(run.data.params)):
            self._ask("log_batch", **batch)
        self._ask("log_inputs", datasets=[dataset_input(each) for each in self._facts.datasets])
        self._begun = True

    def _ask(self, call: str, **options: Any) -> None:
        assert self._calls is not None
        try:
            self._calls.ask(call, self.run_id, **options)
        except RegistryError as error:
            if getattr(error.__cause__, "error_code", "") not in _REFUSED:
                raise
            if self._restored():
                self._calls.ask(call, self.run_id, **options)
            elif str(error) not in self._refused:
                # What MLflow refuses would be refused for ever: said once, and left out.
                self._say(f"left out: {error}")
                self._refused.add(str(error))

    def _restored(self) -> bool:
        assert self._calls is not None
        assert self._run is not None
        if not self._calls.restore(*self._run):
            return False
        self._say(
            f"MLflow run {self.run_id} or its experiment {self._facts.experiment!r} was deleted "
            "while the training goes on: restored (delete it when the training has ended)"
        )
        return True
