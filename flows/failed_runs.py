"""A run that failed says what to do: in its state's message, in its log and as an artifact."""

from collections.abc import Callable, Sequence
from functools import wraps
from textwrap import wrap
from typing import Any, ParamSpec, TypeVar

import prefect
from prefect import get_client
from prefect.client.schemas.actions import ArtifactCreate
from prefect.client.schemas.objects import FlowRun, State
from prefect.flows import Flow
from prefect.logging.loggers import flow_run_logger

from flows.advice import advice, message
from flows.artifacts import preformatted
from storage.background import Background

P = ParamSpec("P")
R = TypeVar("R")

KEY = "what-to-do"
LEAD = "What to do: "
UNKNOWN = (
    "This is no failure that is known: the log's last lines say where it happened. Run it again: "
    "what was committed is kept, and it goes on from there."
)
PATIENCE_S = 20.0  # for a server that is away
_SHOWN = 4000  # characters of a message: Ray's hold whole tracebacks
_COLUMNS = 84  # that a page of Prefect's shows beside its own facts


def flow(*, name: str, flow_run_name: Callable[[], str]) -> Callable[[Callable[P, R]], Flow[P, R]]:
    """Prefect's ``@flow``, of runs that say what to do where they fail.

    It has that name too: Prefect looks for it in the source of a flow that it cannot load.
    """

    def decorate(function: Callable[P, R]) -> Flow[P, R]:
        prefects = prefect.flow(
            name=name, flow_run_name=flow_run_name, on_failure=[explain], on_crashed=[explain]
        )
        return prefects(advised(function))

    return decorate


def advised(function: Callable[P, R]) -> Callable[P, R]:
    """A flow's function whose errors say what to do; their types stay.

    An error of another process is raised as what it was there, with Ray's as its cause.
    """

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            cause = getattr(error, "cause", None)
            if isinstance(cause, Exception):  # Ray's, whose message is a traceback
                raise with_advice(cause) from error
            raise with_advice(error)  # noqa: B904 - the same error

    return run


def with_advice(error: Exception) -> Exception:
    """The same error, which says what to do where that is known: Prefect shows what it says."""
    said = advice(error)
    if said is None or said in str(error):  # a subflow's, advised already
        return error
    if isinstance(error, OSError) and error.strerror:
        error.strerror = f"{error.strerror}. {LEAD}{said}"
    elif error.args and str(error) == error.args[0]:
        error.args = (f"{error}\n{LEAD}{said}", *error.args[1:])
    else:
        error.add_note(f"{LEAD}{said}")
    return error


def explain(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """A hook of failed and crashed runs: the artifact ``what-to-do`` and a line in the log.

    Prefect's worker calls it by these names, without the error, where the run's process died.
    """
    error = error_of(state)
    said = (advice(error) if error is not None else None) or UNKNOWN
    flow_run_logger(flow_run, flow).error("%s%s", LEAD, said)
    text = explanation(state, said)

    def send(_: Sequence[None]) -> None:
        with get_client(sync_client=True) as client:
            client.create_artifact(
                ArtifactCreate(
                    key=KEY, type="markdown", description=said, data=text, flow_run_id=flow_run.id
                )
            )

    sender = Background[None](send, to="the Prefect UI (what-to-do)")
    sender.put(None)
    sender.close(PATIENCE_S)


def error_of(state: State[Any]) -> BaseException | None:
    """What ended a run, where its own process tells."""
    found = getattr(state.data, "result", state.data)
    return found if isinstance(found, BaseException) else None


def explanation(state: State[Any], said: str) -> str:
    """Markdown: what happened, what to do."""
    error = error_of(state)
    happened = f"{type(error).__name__}: {message(error)}" if error else state.message or ""
    happened = happened.partition(f"\n{LEAD}")[0]
    shown = happened if len(happened) <= _SHOWN else "... " + happened[-_SHOWN:]
    lines = [part for line in shown.splitlines() for part in _wrapped(line)]
    return f"# {state.name}\n\n**{LEAD.strip()}** {said}\n\n{preformatted(lines)}\n"


def _wrapped(line: str) -> list[str]:
    return wrap(line, _COLUMNS, break_long_words=False, break_on_hyphens=False) or [""]
