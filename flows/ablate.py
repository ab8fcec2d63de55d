"""The flow ablate-hcp: variants of the method, trained and evaluated on one dataset version."""

from collections.abc import Mapping
from dataclasses import replace

from prefect import flow

from flows.artifacts import Cell, publish_table
from flows.evaluate import evaluate_hcp
from flows.params import AblateParams, EvaluateParams
from flows.train import train_hcp
from hcp.config import AlignmentConfig, HcpConfig, PriorTable, StageTable
from priors.cluster import ray_session
from storage.errors import HcpError
from storage.locations import join

VARIANTS: Mapping[str, HcpConfig] = {
    "default": HcpConfig(),
    "no-alignment": HcpConfig(alignment=AlignmentConfig(alpha=0.0)),
    "gate-zero": HcpConfig(gate="zero"),
    "scale-only": HcpConfig(
        alignment=AlignmentConfig(stages=StageTable(mid="constant", up="constant"))
    ),
    "step-swapped": HcpConfig(alignment=AlignmentConfig(stages=StageTable(mid="late", up="early"))),
    "mid-only": HcpConfig(stages=("mid",)),
    "all-stages": HcpConfig(
        stages=("down", "mid", "up"),
        alignment=AlignmentConfig(stages=StageTable(down="constant")),
    ),
    "centred-cosine": HcpConfig(alignment=AlignmentConfig(distance="centred_cosine")),
    "pose-only": HcpConfig(alignment=AlignmentConfig(priors=PriorTable(person=("heatmap",)))),
}
"""One idea each, against the default; width and gamma follow the parameters' own ``hcp``."""


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
    mine = params.train.hcp
    config = replace(VARIANTS[name], width=mine.width, gamma=mine.gamma, init_seed=mine.init_seed)
    trained = train_hcp(params.train.model_copy(update={"hcp": config, "out": out}))
    own = {
        "out": join(out, "report"),
        "training_log": trained.log,
        "checkpoint": trained.adapter,
    }
    evaluation = evaluate_hcp(EvaluateParams.model_validate(dict(params.evaluate) | own))
    figures = evaluation.metrics
    wanted = ("people_score", "attention_share", "human_map_share")
    return {
        "variant": name,
        "alignment": round(trained.last["alignment"], 4),
        **{
            key: round(figures[f"candidate.{key}"], 4)
            for key in wanted
            if f"candidate.{key}" in figures
        },
        "base people_score": round(figures["base.people_score"], 4),
        "report": evaluation.report,
    }
