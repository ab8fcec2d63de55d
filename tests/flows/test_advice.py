"""What to do about errors."""

import errno

import pytest

from flows import deployments, limits, locks
from flows.ablate import AblationError
from flows.advice import GENERAL, KNOWN, advice, causes
from flows.outcomes import AblateOutcome
from priors import pool
from storage import errors
from storage.errors import HcpError

OUTCOME = AblateOutcome(variants=(), failed={}, same=(), tables={}, learnt="", report="r")


class OutOfMemoryError(RuntimeError):
    """As torch's and Ray's are called."""


class RayTaskError(Exception):
    """As Ray's: the error of another process, as a traceback."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__("traceback")
        self.cause = cause


class WorkerGroupError(Exception):
    """As Ray Train's: the workers' errors by rank."""

    def __init__(self, *failures: BaseException) -> None:
        super().__init__("Training failed due to worker errors")
        self.worker_failures = dict(enumerate(failures))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "training.batch_size"),
        (OutOfMemoryError("Task was killed due to the node running low"), "memory_gib_each"),
        (MemoryError(), "memory_gib_each"),
        (OSError(errno.ENOSPC, "No space left on device", "/data/x"), "hcp gc"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "make room"),
        (PermissionError(errno.EACCES, "Permission denied", "/data/x"), "the right to read"),
        (errors.SourceError("s3://b/x: cannot be opened: Forbidden"), "the right to read"),
        (RuntimeError("Unable to locate credentials"), "credentials"),
        (errors.DivergedError("not finite in 100 steps in a row"), "training.learning_rate"),
        (errors.TrainingStoppedError("stopped at step 3"), "resume"),
        (RuntimeError("2 workers of 1.0 GPU never fit: the Ray cluster has 0.0"), "workers.count"),
        (RuntimeError("Torch not compiled with CUDA enabled"), "device"),
        (RuntimeError("Found no NVIDIA driver on your system"), "docker --gpus"),
        (RuntimeError("Distributed package doesn't have NCCL built in"), "device to cpu"),
        (errors.WeightsError("x.pt: not in the table; set trust_weights"), "trust_weights"),
        (errors.WeightsError("no file gone.pt"), "hcp weights"),
        (errors.SourceError("source not found: /x"), "hcp sources"),
        (errors.SourceError("no photos in /x"), "hcp sources"),
        (errors.PlaceError("empty"), "s3://bucket/folder"),
        (errors.ShardError("expected contract 1 and fingerprint a, got 9"), "another version"),
        (errors.VersionError("no data set version in /x"), "rebuild-dataset"),
        (errors.VersionError("x.json: not a readable version"), "hcp verify"),
        (errors.ShardError("x.tar cannot be read"), "hcp verify"),
        (errors.CacheError("no cache"), "cache-dataset"),
        (errors.StoreAwayError("s3://b does not answer"), "answers again"),
        (errors.ContractError("contract 9"), "a later one"),
        (locks.LockedError("another run"), "limits.wait_h"),
        (limits.RunTimeoutError("not within 2 h"), "limits.timeout_h"),
        (errors.HubError("adapter not found"), "HF_TOKEN"),
        (errors.CheckpointError("x could not be written"), "resume"),
        (errors.CheckpointError("x changed while it was evaluated"), "again"),
        (errors.CheckpointError("base does not fit"), "latest"),
        (errors.RegistryError("registry cannot be opened"), "MLFLOW_TRACKING_URI"),
        (errors.MissingExtraError("mlflow is not installed"), "extra"),
        (ModuleNotFoundError("No module named 'hcp'"), "hcp doctor"),
        (AblationError("1 of 2 trainings failed", OUTCOME), "only those"),
        (ConnectionError("Could not find any running Ray instance"), "ray_address"),
        (RuntimeError("Failed to reach API at http://127.0.0.1:4200/api/"), "PREFECT_API_URL"),
        (TimeoutError("the read timed out"), "limit"),
        (ConnectionError("refused"), "it goes on from there"),
        (KeyboardInterrupt(), "it goes on from there"),
        (FileNotFoundError(errno.ENOENT, "No such file", "/x"), "every node"),
    ],
)
def test_a_known_error_says_what_to_do(error: BaseException, words: str) -> None:
    said = advice(error)
    assert said is not None
    assert words.lower() in said.lower()
    assert said[0].isupper()
    assert said.endswith(".")
    assert "\n" not in said


def test_every_error_of_ours_has_advice() -> None:
    kinds = [
        kind
        for module in (errors, deployments, limits, locks, pool)
        for kind in vars(module).values()
        if isinstance(kind, type)
    ]
    ours = [kind for kind in kinds if issubclass(kind, HcpError) and kind is not HcpError]
    assert len(ours) > 15
    assert [kind for kind in ours if advice(kind("something")) is None] == []


def test_an_unknown_error_has_none() -> None:
    assert advice(ZeroDivisionError("division by zero")) is None


def test_the_cause_counts_where_the_error_says_nothing() -> None:
    inner = OutOfMemoryError("CUDA out of memory")
    for outer in (RayTaskError(inner), WorkerGroupError(ValueError("x"), RayTaskError(inner))):
        assert advice(outer) == advice(inner)
    raised = ZeroDivisionError("x")
    raised.__cause__ = inner
    assert advice(raised) == advice(inner)
    ours = errors.WeightsError("x cannot be read")
    ours.__cause__ = FileNotFoundError("x")
    assert advice(ours) == advice(errors.WeightsError("x"))  # the error itself comes first


def test_causes_that_go_round_end() -> None:
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one
    assert list(causes(one)) == [one, other]


def test_the_advice_names_settings_that_there_are() -> None:
    import re

    from flows.params import AblateParams, CacheParams, RebuildParams
    from flows.tree import leaves

    known = {
        ".".join(path)
        for kind in (RebuildParams, CacheParams, AblateParams)
        for path, _ in leaves(kind)
    }
    known |= {name.partition(".")[2] for name in known}
    groups = "training|workers|extractor|evaluation|limits"
    named = {
        word
        for each in (*KNOWN, *GENERAL)
        for word in re.findall(rf"\b(?:{groups})\.[\w.]*\w", each.do)
    }
    assert named
    assert named - known == set()
