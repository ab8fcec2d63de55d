"""What an extraction has to do: the digest of all that shapes its shards, and its plan."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace

from priors.config import Extraction, ExtractorConfig, MaskMending
from priors.gate import GateConfig, counted_gate, is_long
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
    config, gate = extraction.config, extraction.gate
    usual, longer = (
        digest_of([config_digest(config, gate, long_captions=long), words_version])
        for long in (False, True)
    )
    salt = _Salt(usual=usual, of_long_captions=longer)
    units = plan_units(records, config=PlanConfig(unit_size=unit_size), salt=salt)
    models = model_digests(config)
    work = open_work(extraction.root, units, settings=settings, models=models)
    return replace(work, long_captions=salt.met_long)


@dataclass(slots=True, kw_only=True)
class _Salt:
    """The salt of each unit, by its records; remembers whether any has a long caption."""

    usual: str
    of_long_captions: str
    met_long: bool = False

    def __call__(self, records: Sequence[SourceRecord]) -> str:
        long = any(is_long(record.caption) for record in records)
        self.met_long = self.met_long or long
        return self.of_long_captions if long else self.usual


def model_digests(config: ExtractorConfig) -> dict[str, str]:
    """What tells the models of an extractor from others: digests of their weights alone.

    Raises:
        WeightsError: weights that cannot be had.
    """
    return {
        role: resolve_weights(model.weights, trust=model.trust_weights).weights_sha256
        for role, model in (("pose", config.pose), ("masks", config.masks))
    }


def config_digest(config: ExtractorConfig, gate: GateConfig, *, long_captions: bool = False) -> str:
    """What shapes a shard besides its records, as hex digits: the plan's salt.

    Weights count by digest, not by name or place. Device, batch sizes and threads do not count:
    another machine continues the same dataset. A setting that is younger than the data of earlier
    versions counts only where it is not the default, so that their shards stay what they are.

    Args:
        long_captions: the salt of units with captions longer than earlier versions took.

    Raises:
        WeightsError: weights that cannot be had.
    """
    facts: dict[str, object] = {
        "version": EXTRACTOR_VERSION,
        "gate": counted_gate(gate, long_captions=long_captions),
        "imgsz": config.imgsz,
        "half": config.half is True,  # left to the device, it counts no more than the device does
    }
    if config.mending != MaskMending():
        facts["mending"] = asdict(config.mending)
    for role, model in (("pose", config.pose), ("masks", config.masks)):
        facts[role] = resolve_weights(model.weights, trust=model.trust_weights).sha256
    return digest_of(facts)
