"""The flow ablate-hcp: variants of the method, trained and evaluated on one dataset version."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from prefect import flow

from flows.artifacts import Cell, publish_table
from flows.evaluate import evaluate_hcp
from flows.mlflow_run import AblationRun
from flows.outcomes import VariantOutcome
from flows.params import AblateParams, EvaluateParams
from flows.ray_session import ray_session
from flows.train import train_hcp
from hcp.config import PriorTable, StageTable
from hcp.evaluation.results import BASE, CANDIDATE
from hcp.training.config import TrainConfig
from storage.errors import HcpError
from storage.locations import join

Change = Callable[[TrainConfig], TrainConfig]


def _layers(**changes: Any) -> Change:
    return lambda config: replace(config, hcp=replace(config.hcp, **changes))


def _aligned(**changes: Any) -> Change:
    def change(config: TrainConfig) -> TrainConfig:
        return _layers(alignment=replace(config.hcp.alignment, **changes))(config)

    return change


def _method(name: str) -> Change:
    return lambda config: replace(config, method=name)


def _all_stages(config: TrainConfig) -> TrainConfig:
    # Layers of a stage without a loss would learn nothing about people.
    alignment = config.hcp.alignment
    alignment = replace(alignment, stages=replace(alignment.stages, down="constant"))
    return _layers(stages=("down", "mid", "up"), alignment=alignment)(config)


VARIANTS: Mapping[str, Change] = {
    "default": lambda config: config,
    "no-alignment": _aligned(alpha=0.0),
    "gate-zero": _layers(gate="zero"),
    "residual-start": _layers(start="residual"),
    "learned-value": _layers(value="learned"),
    "residual-and-value": _layers(start="residual", value="learned"),
    "scale-only": _aligned(stages=StageTable(mid="constant", up="constant")),
    "step-swapped": _aligned(stages=StageTable(mid="late", up="early")),
    "mid-only": _layers(stages=("mid",)),
    "all-stages": _all_stages,
    "centred-cosine": _aligned(distance="centred_cosine"),
    "pose-only": _aligned(priors=PriorTable(person=("heatmap",))),
    "lora": _method("lora"),
    "attention": _method("attention"),
    "region": _method("region"),
    "full": _method("full"),
}
"""One idea each, or two by name, as a change of the parameters' own ``training``."""


@flow(name="ablate-hcp")
def ablate_hcp(params: AblateParams) -> list[VariantOutcome]:
    """Train and evaluate each variant with the same data, seeds and steps.

    Raises:
        HcpError: an unknown variant is named.
    """
    names = params.variants or tuple(VARIANTS)
    unknown = sorted(set(names) - set(VARIANTS))
    if unknown:
        raise HcpError(f"unknown variants {unknown}; there are: {', '.join(VARIANTS)}")
    with ray_session(params.train.ray_address), AblationRun(params) as run:
        within = params.model_copy(update={"train": run.child()})
        outcomes = [run_variant(within, name) for name in names]
        rows = [table_row(outcome) for outcome in outcomes]
        run.table(rows)
    publish_table("ablation", rows, description=f"{params.train.training.steps} steps each")
    return outcomes


def run_variant(params: AblateParams, name: str) -> VariantOutcome:
    """Train and evaluate one variant."""
    out = join(params.train.out, name)
    training = VARIANTS[name](params.train.training)
    trained = train_hcp(params.train.model_copy(update={"training": training, "out": out}))
    own = {"out": join(out, "report"), "training_log": trained.log, "checkpoint": trained.adapter}
    evaluation = evaluate_hcp(EvaluateParams.model_validate(dict(params.evaluate) | own))
    return VariantOutcome(variant=name, train=trained, evaluation=evaluation)


def table_row(outcome: VariantOutcome) -> dict[str, Cell]:
    """The figures by which variants are told apart; what was not measured is left out."""
    figures = outcome.evaluation.figures
    aligned = figures.methods.get(CANDIDATE, "hcp").partition("+")[0] in ("hcp", "attention")
    ours, difference = figures.arms[CANDIDATE], figures.comparisons[BASE].people_score
    numbers = {
        "parameters": figures.parameters.get(CANDIDATE),
        "alignment": outcome.train.last["alignment"] if aligned else None,
        "people_score": ours.people_score,
        "to base": difference.mean,
        "low": difference.low,
        "high": difference.high,
        "attention_share": ours.attention_share,
        "base's": figures.arms[BASE].attention_share,
        "human_map_share": ours.human_map_share,
        "drift": ours.pixel_difference,
    }
    known = {name: round(value, 4) for name, value in numbers.items() if value is not None}
    return {"variant": outcome.variant, **known, "report": outcome.evaluation.report}
