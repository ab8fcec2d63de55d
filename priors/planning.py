"""What an extraction has to do: the digest of all that shapes its shards, and its plan."""

from collections.abc import Iterable
from dataclasses import asdict

from priors.config import Extraction, ExtractorConfig
from priors.gate import GateConfig
from priors.weights import resolve_weights
from storage.canonical import digest_of
from storage.plan import PlanConfig, plan_units
from storage.records import SourceRecord
from storage.work import Work, open_work

EXTRACTOR_VERSION = 1
"""Counts changes of this package that change shards; part of every unit's fingerprint."""


def plan_extraction(
    extraction: Extraction,
    records: Iterable[SourceRecord],
    *,
    unit_size: int,
    words_version: int,
    settings: str,
) -> Work:
    """Cut the source's records into units, store the plan, say what is not committed yet.

    Args:
        extraction: photos, place and settings.
        records: those of its source, in path order, streaming.
        unit_size: samples of one shard, about.
        words_version: of the code that marks human words; it shapes shards too.
        settings: of the rebuild, kept beside the plan.

    Raises:
        SourceError, WeightsError, ShardError: photos, weights or root cannot be used.
    """
    salt = digest_of([config_digest(extraction.config, extraction.gate), words_version])
    units = plan_units(records, config=PlanConfig(unit_size=unit_size), salt=salt)
    models = model_digests(extraction.config)
    return open_work(extraction.root, units, settings=settings, models=models)


def model_digests(config: ExtractorConfig) -> dict[str, str]:
    """What tells the models of an extractor from others: digests of their weights alone.

    Raises:
        WeightsError: weights that cannot be had.
    """
    return {
        role: resolve_weights(model.weights, trust=model.trust_weights).weights_sha256
        for role, model in (("pose", config.pose), ("masks", config.masks))
    }


def config_digest(config: ExtractorConfig, gate: GateConfig) -> str:
    """What shapes a shard besides its records, as hex digits: the plan's salt.

    Weights count by digest, not by name or place. Device, batch sizes and threads do not count:
    another machine continues the same dataset.

    Raises:
        WeightsError: weights that cannot be had.
    """
    facts: dict[str, object] = {
        "version": EXTRACTOR_VERSION,
        "gate": asdict(gate),
        "imgsz": config.imgsz,
        "half": config.half is True,  # left to the device, it counts no more than the device does
    }
    for role, model in (("pose", config.pose), ("masks", config.masks)):
        facts[role] = resolve_weights(model.weights, trust=model.trust_weights).sha256
    return digest_of(facts)
