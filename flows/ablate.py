"""The flow ablate-hcp: variants of the method, trained and evaluated on one dataset version."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from prefect import flow

from flows.artifacts import Cell, publish_table
from flows.evaluate import evaluate_hcp
from flows.params import AblateParams, EvaluateParams
from flows.ray_session import ray_session
from flows.train import train_hcp
from hcp.config import HcpConfig, PriorTable, StageTable
from storage.errors import HcpError
from storage.locations import join

Change = Callable[[HcpConfig], HcpConfig]


def _aligned(**changes: Any) -> Change:
    return lambda config: replace(config, alignment=replace(config.alignment, **changes))


def _all_stages(config: HcpConfig) -> HcpConfig:
    # Layers of a stage without a loss would learn nothing about people.
    stages = replace(config.alignment.stages, down="constant")
    alignment = replace(config.alignment, stages=stages)
    return replace(config, stages=("down", "mid", "up"), alignment=alignment)


VARIANTS: Mapping[str, Change] = {
    "default": lambda config: config,
    "no-alignment": _aligned(alpha=0.0),
    "gate-zero": lambda config: replace(config, gate="zero"),
    "scale-only": _aligned(stages=StageTable(mid="constant", up="constant")),
    "step-swapped": _aligned(stages=StageTable(mid="late", up="early")),
    "mid-only": lambda config: replace(config, stages=("mid",)),
    "all-stages": _all_stages,
    "centred-cosine": _aligned(distance="centred_cosine"),
    "pose-only": _aligned(priors=PriorTable(person=("heatmap",))),
}
"""One idea each, as a change of the parameters' own ``hcp``."""


@flow(name="ablate-hcp")
def ablate_hcp(params: AblateParams) -> list[dict[str, Cell]]:
    """Train and evaluate each variant with the same data, seeds and steps; one row per variant.

    Raises:
        HcpError: an unknown variant is named.
    """
    names = params.variants or tuple(VARIANTS)
    unknown = sorted(set(names) - set(VARIANTS))
    if unknown:
        raise HcpError(f"unknown variants {unknown}; there are: {', '.join(VARIANTS)}")
    with ray_session(params.train.ray_address):
        rows = [run_variant(params, name) for name in names]
    publish_table("ablation", rows, description=f"{params.train.steps} steps each")
    return rows


def run_variant(params: AblateParams, name: str) -> dict[str, Cell]:
    """Train and evaluate one variant."""
    out = join(params.train.out, name)
    config = VARIANTS[name](params.train.hcp)
    trained = train_hcp(params.train.model_copy(update={"hcp": config, "out": out}))
    own = {
        "out": join(out, "report"),
        "training_log": trained.log,
        "checkpoint": trained.adapter,
    }
    evaluation = evaluate_hcp(EvaluateParams.model_validate(dict(params.evaluate) | own))
    figures = evaluation.metrics
    wanted = {
        "people_score": "candidate.people_score",
        "to base": "candidate-base.people_score.mean",
        "low": "candidate-base.people_score.low",
        "high": "candidate-base.people_score.high",
        "attention_share": "candidate.attention_share",
        "base's": "base.attention_share",
        "human_map_share": "candidate.human_map_share",
    }
    return {
        "variant": name,
        "alignment": round(trained.last["alignment"], 4),
        **{title: round(figures[key], 4) for title, key in wanted.items() if key in figures},
        "report": evaluation.report,
    }
