"""Of each arm how many parameters train, and the width or rank that makes them as many."""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.evidence.controlnet import new_controlnet
from benchmarks.evidence.matching import matched, trained_parameters
from benchmarks.evidence.settings import EvidenceSettings
from flows.cli.settings import merged
from hcp.base import BasePipeline

Sizes = Mapping[str, tuple[Mapping[str, Any], int]]
"""arm -> changes of its settings, and the number of parameters that train then."""


def sized_configs(settings: EvidenceSettings, arms: Sequence[str], pipeline: BasePipeline) -> Sizes:
    """Sizes of the named arms in this base.

    Raises:
        ValueError: the arm whose number the others have is matched to itself alone, or a setting
            is wrong.
    """
    measure = settings.budget_of
    budget = trained_parameters(pipeline, settings.train_config(measure, seed=0, changes={}))
    found: dict[str, tuple[Mapping[str, Any], int]] = {}
    for arm in arms:
        own = settings.arms[arm]
        if own.kind == "controlnet":
            net = new_controlnet(pipeline)
            found[arm] = ({}, sum(parameter.numel() for parameter in net.parameters()))
            continue
        config = settings.train_config(arm, seed=0, changes={})
        changes = matched(pipeline, config, budget) if own.matched and arm != measure else {}
        config = settings.train_config(arm, seed=0, changes=merged({}, changes))
        found[arm] = (changes, trained_parameters(pipeline, config))
    return found
