"""What the flows return: plain data that Prefect can store and a caller can print."""

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict

from hcp.evaluation.results import EvaluationReport


class Outcome(BaseModel):
    """Base of all outcomes: frozen."""

    model_config = ConfigDict(frozen=True)


class CacheOutcome(Outcome):
    """A dataset version, encoded for a base."""

    cache: str  # its folder; the last part is its digest
    dataset: str  # ROOT@VERSION
    shards: int
    samples: int
    bad: int  # samples that could not be encoded
    bytes: int


class TrainOutcome(Outcome):
    """A finished training run."""

    checkpoint: str  # the last one, with the trainer's state, to resume from
    best: str | None = None  # that of the lowest validation loss; None: nothing was validated
    adapter: str  # the adapter alone, to use; `<out>/adapters/<digest>`
    log: str  # one JSON line per step
    dataset: str  # ROOT@VERSION
    steps: int
    first: Mapping[str, float]  # mean losses of the first tenth of the steps
    last: Mapping[str, float]  # and of the last
    skipped: int = 0  # steps whose loss or gradient was not finite
    bad_samples: int = 0  # training samples that could not be read
    bad_shards: int = 0  # in so many shards; the run's summary.json names them
    mlflow_run: str | None = None  # id of its MLflow run; None: there is none
    tracking_uri: str | None = None  # the MLflow that has it


class EvaluateOutcome(Outcome):
    """An evaluated checkpoint."""

    report: str  # the HTML page
    figures: EvaluationReport
    promoted: bool
    verdict: str
    registry_uri: str | None  # where it was registered
    tracking_uri: str | None  # the MLflow registry that holds it


class PipelineOutcome(Outcome):
    """Rebuild, training and evaluation together."""

    dataset: str  # ROOT@VERSION
    train: TrainOutcome
    evaluation: EvaluateOutcome
    unchanged: bool = False  # an earlier run's: version and settings were trained before


class VariantOutcome(Outcome):
    """One variant of an ablation, trained with one seed."""

    variant: str
    seed: int | None = None  # None: that of the parameters' training
    train: TrainOutcome
    evaluation: EvaluateOutcome


class AblateOutcome(Outcome):
    """An ablation: what was run, what failed, and the answers to its questions."""

    variants: tuple[VariantOutcome, ...]
    failed: Mapping[str, str]  # variant -> reason
    same: tuple[str, ...]  # variants that say what the parameters say: the default
    tables: Mapping[str, tuple[Mapping[str, str | int | float | None], ...]]  # by question
    learnt: str  # markdown: what the intervals say
    report: str  # where tables and text were written
