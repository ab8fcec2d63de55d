"""One night on a real server, with a worker, an S3 store and a webhook, and nobody who watches.

The store goes away for a minute in the middle of the nightly rebuild, one of its Ray workers is
killed, two other deployments and a terminal want the same root, a run has a wrong parameter, and
one run's machine is gone.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import psutil
import pytest

from demo.embedded import POSE_PX
from demo.world.dataset import write_folder
from flows.limits import RunLimits
from flows.lock_server import LockServer
from flows.locks import LockedError, lock_name, root_lock
from flows.notices import Notify
from tests.flows.flow_samples import ROOT
from tests.flows.line import Line
from tests.flows.provisioned import provisioned
from tests.flows.webhook import Webhook
from tests.flows.webhook import webhook as serve_webhook
from tests.s3_server import bucket_at, s3_variables, serve_s3

pytest.importorskip("s3fs", reason="s3fs is not installed: pip install -e '.[s3]'")
pytest.importorskip("moto.server", reason="moto[server] is not installed")

pytestmark = [pytest.mark.prefect, pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(900)]

AWAY_S, WITHIN_S = 60.0, 10
BUCKET = "nights"


@pytest.fixture(scope="module")
def webhook() -> Iterator[Webhook]:
    with serve_webhook() as hook:
        yield hook


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """The way to an S3 store with 240 drawn photos; AWS's variables name it."""
    with serve_s3() as url, Line(url) as line, bucket_at(line.url, BUCKET) as store:
        photos = write_folder(tmp_path_factory.mktemp("photos"), n=240, seed=900)
        store.put(f"{photos.root}/", f"{BUCKET}/photos/", recursive=True)
        yield line


@pytest.fixture(scope="module")
def night(
    environment: dict[str, str], prefect_api: str, line: Line, webhook: Webhook,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, str]]:  # fmt: skip
    """Everything provisioned, the automations with short times, and a worker."""
    from prefect.client.orchestration import get_client

    folder = tmp_path_factory.mktemp("night")
    places = {"source": f"s3://{BUCKET}/photos", "root": f"s3://{BUCKET}/data", "base": "embedded",
              "runs": str(folder / "runs"), "reports": str(folder / "reports")}  # fmt: skip
    with (
        provisioned(places=places, notify=Notify(webhook=webhook.url)),
        (folder / "worker.log").open("wb") as log,
    ):
        with get_client(sync_client=True) as client:
            _shorten(client, "hcp-crashed-1")
        process = subprocess.Popen(
            [sys.executable, "-m", "prefect", "worker", "start", "--pool", "hcp"],
            env=environment | s3_variables(line.url) | {"PREFECT_WORKER_QUERY_SECONDS": "1",
                                            "PYTHONPATH": str(ROOT)},
            cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            yield places
        finally:
            family = [process, *psutil.Process(process.pid).children(recursive=True)]
            for member in family:
                with suppress(psutil.NoSuchProcess):
                    member.kill()
            process.wait(30)


def test_a_night_in_which_much_goes_wrong_ends_completed(
    night: dict[str, str],
    line: Line,
    webhook: Webhook,
    record_property: Callable[[str, object], None],
) -> None:
    from prefect.client.orchestration import get_client

    from storage.verify import verify_root
    from storage.versions import open_version

    root = night["root"]
    with get_client(sync_client=True) as client:
        nightly = _start(client, "rebuild-dataset/nightly", _rebuild(night))
        lost = _lost_run(client)
        _until(lambda: _names(f"{BUCKET}/data/shards", ".json"), 150, "the first shard")
        _kill_one_extractor()
        _until(lambda: len(_names(f"{BUCKET}/data/shards", ".json")) > 1, 60, "another shard")
        assert client.read_flow_run(nightly.id).state.is_running()
        line.cut()
        cut = time.monotonic()
        others = [
            _start(client, "retry-failed/on-demand", _rebuild(night)),
            _start(client, "rebuild-and-train/weekly", _weekly(night)),
        ]
        nothing = {"dataset": "/no/dataset", "base": "embedded"}
        wrong = _start(client, "cache-dataset/on-demand", nothing)
        with (
            pytest.raises(LockedError, match="another run works on it, rebuild-dataset/"),
            root_lock(root, RunLimits(wait_h=0.0)),
        ):
            pytest.fail("two at a time")
        for run in others:
            _until(
                lambda run=run: _logged(client, run, "waiting for rebuild-dataset/"), 100, "wait"
            )
        assert _final(client, wrong, 100).type.value == "FAILED"
        failed = time.monotonic()
        client.set_flow_run_state(others[1].id, _cancelling(), force=True)
        time.sleep(max(0.0, cut + AWAY_S - time.monotonic()))
        line.mend()
        away_s = time.monotonic() - cut
        assert _final(client, nightly, 240).name == "Completed"
        assert _final(client, others[0], 240).name == "Completed"
        assert _final(client, others[1], 60).name == "Cancelled"
        assert _logged(client, nightly, "failed by what may pass")
        assert not _logged(client, nightly, ", 0 to extract")  # it was in the middle
        assert client.read_flow_run(nightly.id).run_count == 1  # it went on where it was
        version = open_version(root)
        assert version.n_samples > 150
        assert version.n_samples + version.n_rejects == 240
        assert "unreadable" not in version.rejects_by_reason
        assert verify_root(root) == []
        told = _told_once(webhook, client.read_flow_run(wrong.id))
        assert told < failed + 60
        _tried_again(client, lost)
        assert LockServer(lock_name(root)).holder() is None
        assert not client.read_global_concurrency_limit_by_name(lock_name(root)).active_slots
    record_property("away_s", round(away_s))
    record_property("told_after_s", round(told - failed, 1))


def _told_once(webhook: Webhook, run: Any) -> float:
    """One message, with the reason and a link; when it came."""
    ((told, message),) = webhook.about(run.name)
    assert "/no/dataset" in message["body"]
    assert f"/runs/flow-run/{run.id}" in message["body"]
    return told


def _tried_again(client: Any, run: Any) -> None:
    states = [state.name for state in client.read_flow_run_states(run.id)]
    assert states[states.index("Running") + 1 :][:2] == ["Crashed", "AwaitingRetry"], states


def _lost_run(client: Any) -> Any:
    """A run whose process and worker are gone: one heartbeat, and no other."""
    from prefect.events import emit_event
    from prefect.states import Running

    run = _start(client, "train-hcp/on-demand", {}, paused=True)
    _shorten(client, "hcp-zombies", {"prefect.resource.id": f"prefect.flow-run.{run.id}"})
    client.set_flow_run_state(run.id, Running(), force=True)
    emit_event(
        event="prefect.flow-run.heartbeat",
        resource={"prefect.resource.id": f"prefect.flow-run.{run.id}"},
        related=[{"prefect.resource.id": "prefect.tag.hcp", "prefect.resource.role": "tag"}],
    )
    return run


def _shorten(client: Any, name: str, match: dict[str, str] | None = None) -> None:
    """An automation as it is shipped, but for the time that it waits, and for one run only."""
    from prefect.events.schemas.automations import AutomationCore

    (found,) = client.read_automations_by_name(name)
    plain = found.model_dump(mode="json", exclude={"id", "owner_resource"})
    plain["trigger"] |= {"within": WITHIN_S} | ({"match": match} if match else {})
    client.update_automation(found.id, AutomationCore.model_validate(plain))


def _start(client: Any, name: str, params: dict[str, Any], *, paused: bool = False) -> Any:
    from prefect.states import Paused

    deployment = client.read_deployment_by_name(name)
    given = {"params": params} if params else {}
    return client.create_flow_run_from_deployment(
        deployment.id, parameters=given, state=Paused(timeout_seconds=3600) if paused else None
    )


def _rebuild(places: dict[str, str]) -> dict[str, Any]:
    return {
        "source": "variable:hcp_source",
        "root": "variable:hcp_root",
        "unit_size": 8,
        "workers": {"count": 1, "memory_gib_each": 0},
        "extractor": {"pose_model": "embedded", "mask_model": "embedded", "imgsz": POSE_PX},
    }


def _weekly(places: dict[str, str]) -> dict[str, Any]:
    judge = {"weights": "embedded", "imgsz": POSE_PX}
    evaluate = {"base": "embedded", "out": places["reports"], "judge": judge}
    train = {"base": "embedded", "out": places["runs"]}
    return {"rebuild": _rebuild(places), "train": train, "evaluate": evaluate}


def _kill_one_extractor() -> None:
    found = [p for p in psutil.process_iter(["cmdline"]) if "ray::_Worker" in _command(p)]
    assert found
    found[0].kill()


def _command(process: psutil.Process) -> str:
    return " ".join(process.info["cmdline"] or ())


def _names(folder: str, suffix: str) -> list[str]:
    import s3fs

    store = s3fs.S3FileSystem()
    store.invalidate_cache()
    with suppress(FileNotFoundError):
        return [name for name in store.ls(folder, detail=False) if name.endswith(suffix)]
    return []


def _logged(client: Any, run: Any, words: str) -> bool:
    """In the run's log or in that of a subflow."""
    from prefect.client.schemas.filters import LogFilter

    ids = [run.id, *_subflows(client, run)]
    found = client.read_logs(LogFilter.model_validate({"flow_run_id": {"any_": ids}}), limit=200)
    return any(words in entry.message for entry in found)


def _subflows(client: Any, run: Any) -> list[Any]:
    from prefect.client.schemas.filters import FlowRunFilter

    wanted = {"parent_flow_run_id": {"any_": [run.id]}}
    return [each.id for each in client.read_flow_runs(
        flow_run_filter=FlowRunFilter.model_validate(wanted)
    )]  # fmt: skip


def _final(client: Any, run: Any, limit_s: float) -> Any:
    _until(lambda: client.read_flow_run(run.id).state.is_final(), limit_s, f"the end of {run.name}")
    return client.read_flow_run(run.id).state


def _until(true: Callable[[], Any], limit_s: float, what: str) -> None:
    deadline = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < deadline, f"{what} did not come within {limit_s:.0f} s"
        time.sleep(0.5)


def _cancelling() -> Any:
    from prefect.states import Cancelling

    return Cancelling()
