"""What a training reads: photos, or what its base made of them before, from a cache."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from hcp.base import ENCODERS
from hcp.training.cache import settled, usable_cache
from hcp.training.cache_read import CacheReader
from hcp.training.config import TrainConfig
from hcp.training.mix import mixed_stream, open_mix
from storage.errors import CacheError
from storage.mixing import MixedStream
from storage.records import Sample
from storage.streaming import SampleStream
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

    def stream(self, config: TrainConfig) -> SampleStream | MixedStream:
        """The training samples in their one order, the same from photos and from caches."""
        opened = {name: reader.open for name, reader in self.caches.items()}
        return mixed_stream(self.versions, config.data.also, seed=config.seed, opened=opened)

    def held_out(self) -> Iterator[Sample]:
        """The val split of the training's own version, in shard order."""
        version = self.versions[0]
        if self.caches:
            return self.caches[version.id].iter_samples(version, "val")
        return version.iter_samples("val")


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
    whole = settled(config, base)
    try:
        caches = {each.id: CacheReader(usable_cache(each, whole, base)) for each in versions}
    except CacheError as error:
        if config.cache.use == "required":
            raise
        logger.warning("photos are read and encoded in every step: %s", error)
        return Inputs(versions=versions)
    found = ", ".join(reader.cache.uri for reader in caches.values())
    logger.info("training from %s, without VAE and text encoder", found)
    return Inputs(versions=versions, caches=caches)
