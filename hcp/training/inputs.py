"""What a training reads: photos, or what its base made of them before, from a cache."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from hcp.base import ENCODERS
from hcp.training.cache import base_parts, cache_settings, settled, usable_cache
from hcp.training.cache_read import CacheReader
from hcp.training.config import TrainConfig
from hcp.training.mix import mixed_stream, open_mix
from storage.errors import CacheError
from storage.mixing import MixedStream
from storage.records import Split
from storage.streaming import SampleStream, split_size
from storage.versions import DatasetVersion

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """The versions of a training, and their caches where those are read."""

    versions: tuple[DatasetVersion, ...]
    caches: Mapping[str, CacheReader] = field(default_factory=dict[str, CacheReader])
    """By the version's id: of all of them or of none."""

    @property
    def without(self) -> tuple[str, ...]:
        """The parts of the base that this training does without."""
        return ENCODERS if self.caches else ()

    @property
    def teachers(self) -> tuple[str, ...]:
        """Digests of the pose models that made the priors, each once; "" where not known."""
        return tuple(dict.fromkeys(each.models.get("pose", "") for each in self.versions))

    def streams(self, split: Split, *, seed: int) -> list[SampleStream]:
        """The samples of a split, of each version that has any; from photos or from caches."""
        opened = {name: reader.open for name, reader in self.caches.items()}
        return [
            SampleStream(version, split=split, seed=seed, open_shard=opened.get(version.id))
            for version in self.versions
            if split_size(version, split)
        ]

    def stream(self, config: TrainConfig) -> SampleStream | MixedStream:
        """The training samples in their one order."""
        return mixed_stream(self.streams("train", seed=config.seed), config.data.also)


def open_inputs(version: DatasetVersion, config: TrainConfig, base: str) -> Inputs:
    """Find what ``config.cache.use`` asks for, before the base is loaded.

    Args:
        version: the training's own; others of a mix come from ``config.data.also``.
        config: the settings.
        base: id, folder or file of the base.
    Raises:
        CacheError: a cache is required, and there is none of this base and these settings that
            holds the versions; the message names what there is and how it differs.
        CheckpointError: the base cannot be found.
        VersionError: a version of the mix cannot be used.
    """
    versions = open_mix(version, config.data.also)
    if config.cache.use == "off":
        return Inputs(versions=versions)
    settings = cache_settings(settled(config, base), base_parts(base))
    try:
        caches = {each.id: CacheReader(usable_cache(each, settings, base)) for each in versions}
    except CacheError as error:
        if config.cache.use == "required":
            raise
        logger.warning("photos are read and encoded in every step: %s", error)
        return Inputs(versions=versions)
    found = ", ".join(reader.cache.uri for reader in caches.values())
    logger.info("training from %s, without VAE and text encoder", found)
    return Inputs(versions=versions, caches=caches)
