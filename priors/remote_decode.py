"""Decoding on CPUs anywhere in the cluster, for machines whose own cannot feed their GPUs.

Photos travel through Ray's object store. Ray must be initialised by the caller.
"""

import logging
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import ray
from ray.exceptions import OutOfMemoryError, WorkerCrashedError
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from priors.decode import Decode, DecodedPhoto, decode_photo
from priors.gate import GateConfig, Refusal

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 3  # of one photo, each in another process

_PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteDecode:
    """``decode_photo`` as a Ray task in reserved places; pickles, so that extractors carry it.

    A photo that kills its process three times is a ``poison`` failure: the extractor lives on.
    """

    group: PlacementGroup
    decode: Decode = decode_photo

    def __call__(self, data: bytes, *, gate: GateConfig) -> DecodedPhoto | Refusal:
        """Wait for the photo; its pixels are ours, not the object store's."""
        function: Any = self.decode
        task: Any = ray.remote(function).options(
            num_cpus=1,
            max_retries=MAX_ATTEMPTS - 1,
            scheduling_strategy=PlacementGroupSchedulingStrategy(self.group),
        )
        try:
            decoded: DecodedPhoto | Refusal = ray.get(task.remote(data, gate=gate))
        except (WorkerCrashedError, OutOfMemoryError):
            detail = f"the process that decoded it died, {MAX_ATTEMPTS} times"
            return Refusal(reason="poison", detail=detail)
        if isinstance(decoded, DecodedPhoto):
            return replace(decoded, rgb=decoded.rgb.copy())  # Ray's are read-only and pin its store
        return decoded


@contextmanager
def remote_decode(n_cpus: int, *, decode: Decode = decode_photo) -> Generator[RemoteDecode | None]:
    """Reserve so many CPUs, spread over the nodes, until the block ends; None for no CPU.

    A cluster without room is waited for, with a warning: it may be growing.
    """
    if not n_cpus:
        yield None
        return
    group = placement_group([{"CPU": 1.0}] * n_cpus, strategy="SPREAD")
    try:
        if not group.wait(_PATIENCE_S):
            logger.warning("no room yet for %d decoding CPUs: is the cluster too small?", n_cpus)
        yield RemoteDecode(group=group, decode=decode)
    finally:
        remove_placement_group(group)
