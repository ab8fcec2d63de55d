"""What to do about an error: one sentence for each kind that is known.

Errors are known by the names of their types, and by words of their message where a type is not
enough: so no library is loaded that did not raise one.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_WRAPPED = ("cause", "controller_failure")  # Ray's: what went wrong in another process


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A kind of error: all that is given must fit."""

    types: tuple[str, ...] = ()  # names, of the error's own type or of one that it inherits from
    words: str = ""  # a pattern that the message holds, in any case
    do: str

    def fits(self, error: BaseException) -> bool:
        """Whether the error is of this kind."""
        names = {kind.__name__ for kind in type(error).__mro__}
        right = not self.types or bool(names & set(self.types))
        return right and bool(re.search(self.words, message(error), re.IGNORECASE))


GO_ON = "start the same run again: what was committed is kept, and it goes on from there"

KNOWN = (
    Known(
        types=("OutOfMemoryError", "AcceleratorError"),
        words="cuda|gpu|hip|out of memory.*device|mps",
        do="lower training.batch_size (with training.accumulate) or switch "
        "training.gradient_checkpointing on; in a rebuild lower extractor.batch_size; in an "
        "evaluation lower evaluation.batch_size; or give each worker a larger GPU",
    ),
    Known(
        types=("OutOfMemoryError", "MemoryError"),
        do="give each worker more memory (workers.memory_gib_each), or run fewer at a time "
        "(workers.count), with smaller batches",
    ),
    Known(
        types=("OSError",),
        words="no space left|quota",
        do="make room where the message says (hcp gc ROOT removes what no version names), then "
        + GO_ON,
    ),
    Known(
        types=("StoreAwayError",),
        do="wait until the store or share of the photos answers again (hcp sources URI tells); "
        "then " + GO_ON,
    ),
    Known(
        types=("LockedError",),
        do="wait until the run that the message names has ended, or raise limits.wait_h; one that "
        "is dead gives its lock back by itself within minutes",
    ),
    Known(
        types=("RunTimeoutError",),
        do="raise limits.timeout_h where so much work is expected, else " + GO_ON,
    ),
    Known(
        types=("ContractError",),
        do="install the version of hcp that wrote this root, or a later one, here and on the "
        "workers; or rebuild into a root of its own",
    ),
    Known(
        types=("ProvisionError",),
        do="start the Prefect server that PREFECT_API_URL names, or correct what the message names "
        "of a deployment; what is there stays, so do the same once more",
    ),
    Known(
        types=("OSError", "HcpError"),
        words=r"permission denied|access ?denied|forbidden|\b403\b|InvalidAccessKey|SignatureDoes",
        do="give the user or the key that the workers run with the right to read the source and "
        "to write the root: docs/cluster.md lists which",
    ),
    Known(
        words="NoCredentials|unable to locate credentials|credentials (could|were) not",
        do="give the workers the store's credentials (AWS_ACCESS_KEY_ID and so on in the work "
        "pool's environment), on each node of the Ray cluster",
    ),
    Known(
        types=("DivergedError",),
        do="train again with a lower training.learning_rate or training.precision float32, as a "
        "new run (resume off)",
    ),
    Known(
        types=("TrainingStoppedError",),
        do="start it again with resume on: it goes on from the checkpoint that was written",
    ),
    Known(
        words=r"workers of .* never fit|no room for|can never be scheduled|not schedulable",
        do="ask for fewer workers (workers.count), or for fewer CPUs and GPUs of each "
        "(workers.cpus_each, workers.gpus_each), or add nodes to the Ray cluster",
    ),
    Known(
        words="no cuda|cuda.*not available|not compiled with cuda|found no nvidia driver|"
        "nccl built in|no gpu|driver.*too old|cuda driver",
        do="run on a machine (or in a container) that sees its GPU (nvidia-smi, docker --gpus all, "
        "the pod's nvidia.com/gpu), or set device to cpu or auto",
    ),
    Known(
        types=("ClusterError",),
        do="add nodes to the Ray cluster or let its autoscaler start them, raise nodes_wait_s, or "
        "ask for fewer workers (workers.count) with less each (workers.cpus_each, "
        "workers.gpus_each)",
    ),
    Known(
        types=("PoolError",),
        words="while starting",
        do="a model does not load or does not fit: the log above has the worker's own words; "
        "lower extractor.batch_size, or raise workers.gpus_each or workers.memory_gib_each",
    ),
    Known(
        types=("PoolError",),
        do="look at the workers' words in the log above; fewer of them at a time (workers.count) "
        "or more memory each (workers.memory_gib_each) helps where they were killed; then " + GO_ON,
    ),
    Known(
        types=("WeightsError",),
        words="trust",
        do="where you know where the file comes from, set trust_weights; else take the "
        ".safetensors of the same model",
    ),
    Known(
        types=("WeightsError",),
        do="correct the name or path of the model in the message (hcp weights lists known names), "
        "or fetch the file to every node; then " + GO_ON,
    ),
    Known(
        types=("SourceError",),
        words="not found|cannot be (opened|listed)|no such|does not exist",
        do="check that source names the photos as every node sees them, and that the store is "
        "mounted or reachable; hcp sources URI shows what is found there",
    ),
    Known(
        types=("SourceError",),
        do="hcp sources URI shows what is found there and what is left out, and why; correct "
        "source, format or images",
    ),
    Known(
        types=("PlaceError",),
        do="correct the place in the message: a path or an fsspec URL such as s3://bucket/folder",
    ),
    Known(
        types=("HcpError",),
        words=r"contract|newer version|written by a later",
        do="this root or file was written by another version of hcp: install that one (or a later "
        "one) on the workers too, or rebuild into a root of its own",
    ),
    Known(
        types=("VersionError",),
        words="no data ?set version|no version",
        do="run rebuild-dataset for this root first, or name one of the versions that there are: "
        "ROOT@VERSION",
    ),
    Known(
        types=("VersionError", "ShardError"),
        do="hcp verify ROOT names what is damaged; rebuild-dataset makes what is missing again",
    ),
    Known(
        types=("CacheError",),
        do="run cache-dataset for this version and base (it makes only what is missing), or set "
        "training.cache.use to auto",
    ),
    Known(
        types=("HubError",),
        do="check the name on the hub and HF_TOKEN, or give a local folder; workers without a "
        "network need the files beforehand",
    ),
    Known(
        types=("CheckpointError",),
        words="could not be written",
        do="make room, or wait until the store is back; then start it again with resume on",
    ),
    Known(
        types=("CheckpointError",),
        words="changed",
        do="evaluate it again: start the same run once more",
    ),
    Known(
        types=("CheckpointError",),
        do="give the folder of a whole checkpoint (<out>/adapters/<digest> or <out>/latest), made "
        "on the base that is named here",
    ),
    Known(
        types=("RegistryError", "MlflowException"),
        do="check registry (or MLFLOW_TRACKING_URI) and that its server answers; the checkpoint "
        "is kept: evaluate-hcp with register_model registers it later",
    ),
    Known(
        types=("MissingExtraError",),
        do="install the extra that the message names, where the flow runs and on every Ray node",
    ),
    Known(
        types=("ModuleNotFoundError", "ImportError"),
        do="install the same hcp with the same extras where the flow runs and on every Ray node "
        "(hcp doctor shows what is there)",
    ),
    Known(
        types=("AblationError",),
        do="the sentences above say why each variant failed; started again, only those are run",
    ),
    Known(
        types=("ValidationError", "ParameterTypeError", "ParameterBindError"),
        do="correct the parameter that the message names and run again: the deployment's form in "
        "the UI shows what each one takes; docs/settings.md lists them all",
    ),
    Known(
        types=("ConnectionError", "RaySystemError", "RuntimeError"),
        words=r"ray (cluster|instance)|could not find any running ray|gcs|raylet|ray head|"
        r"authentication.*token|RAY_AUTH",
        do="check that the Ray cluster runs and that ray_address (or RAY_ADDRESS) names it from "
        "here (ray status), with its RAY_AUTH_TOKEN; without an address a local Ray is started",
    ),
    Known(
        types=("ConnectError", "ConnectTimeout", "ReadTimeout", "RuntimeError"),
        words=r"reach API|/api/|prefect",
        do="start the Prefect server that PREFECT_API_URL names, or correct it; then " + GO_ON,
    ),
)  # fmt: skip
"""The first that fits counts; of an error with a cause, the error itself before its cause."""

GENERAL = (
    Known(
        types=("NodeDiedError", "ActorDiedError", "ActorUnavailableError", "RayActorError",
               "WorkerCrashedError", "ObjectLostError", "OwnerDiedError"),
        do="a Ray worker or its node was lost (a spot node, or killed for memory): " + GO_ON,
    ),
    Known(
        types=("TrainingFailedError", "WorkerGroupError", "ControllerError"),
        do="the words of the worker that failed stand above; when its cause is gone, start it "
        "again with resume on",
    ),
    Known(
        types=("TimeoutError", "FlowRunTimeoutError", "TimeoutExpired"),
        do="the work took longer than it may: raise the limit, or " + GO_ON,
    ),
    Known(
        types=("ConnectionError", "EndpointConnectionError", "HTTPClientError", "ClientError",
               "ConnectError", "ConnectTimeout", "ReadTimeout", "ReadError", "gaierror"),
        do="a store or server did not answer: when it is back, " + GO_ON,
    ),
    Known(
        types=("TerminationSignal", "KeyboardInterrupt", "SystemExit"),
        do="the run was ended from outside: " + GO_ON,
    ),
    Known(
        types=("FileNotFoundError", "NotADirectoryError", "IsADirectoryError"),
        do="check that the place in the message exists on every node under the same name",
    ),
    Known(
        types=("OSError",),
        do="check the disk or store that the message names (hcp doctor); then " + GO_ON,
    ),
)  # fmt: skip
"""Where nothing more exact is known of the error or of its causes."""


def advice(error: BaseException) -> str | None:
    """What to do, in one sentence; None where neither the error nor a cause of it is known."""
    errors = list(causes(error))
    for table in (KNOWN, GENERAL):
        for each in errors:
            found = next((known.do for known in table if known.fits(each)), None)
            if found is not None:
                return f"{found[0].upper()}{found[1:]}."
    return None


def message(error: BaseException) -> str:
    """What an error says, without the traceback that Ray's errors of other processes carry."""
    cause = getattr(error, "cause", None)
    return message(cause) if isinstance(cause, BaseException) else str(error)


def causes(error: BaseException) -> Iterator[BaseException]:
    """The error, then what it says was its cause, here or in another process; each once."""
    seen: list[BaseException] = []
    waiting: list[Any] = [error]
    while waiting:
        each = waiting.pop(0)
        if not isinstance(each, BaseException) or any(each is other for other in seen):
            continue
        seen.append(each)
        yield each
        failures: Any = getattr(each, "worker_failures", None)  # of Ray Train, by rank
        waiting += [*failures.values()] if isinstance(failures, Mapping) else []
        waiting += [getattr(each, name, None) for name in _WRAPPED]
        waiting.append(each.__cause__)
