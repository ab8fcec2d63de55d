"""What a rebuild's parameters come to: they are taken apart here, once.

A module of its own: Prefect loads a deployed flow's file under another name, and what an actor
unpickles must be importable by its real one.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from flows.names import model_path
from flows.params import ComputeParams, RebuildParams
from priors.config import Extraction, MaskMending, PoolConfig
from priors.gate import counted_gate
from storage.layout import Root
from storage.sources import NamedColumns, resolve_source

if TYPE_CHECKING:
    from flows.ray_cluster import Cluster
    from priors.decode import Decode
    from priors.extract import Extractor


SPARE = 4  # workers that wait for nodes which join a cluster: a demand on its autoscaler


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractorFactory:
    """Builds the extractor inside an actor; pickles as its extraction."""

    extraction: Extraction
    decode: "Decode | None" = None  # elsewhere; None: in the extractor's own threads

    def __call__(self) -> "Extractor":
        """Load the models."""
        from hcp.tokens import human_spans
        from priors.extract import Extractor

        return Extractor(self.extraction, human_spans, decode=self.decode)


@dataclass(frozen=True, slots=True, kw_only=True)
class RebuildJob:
    """One rebuild: its parameters, and the extraction that they come to."""

    params: RebuildParams
    extraction: Extraction


def rebuild_job(params: RebuildParams) -> RebuildJob:
    """The parameters' source, root and models, found.

    Raises:
        SourceError: there is no such source.
    """
    config = params.extractor
    source = resolve_source(
        params.source,
        format=params.format,
        images=params.images,
        skip_unlisted=params.skip_unlisted,
        follow_links=params.follow_links,
        columns=NamedColumns(image=params.image_column, caption=params.caption_column),
    )
    extraction = Extraction(
        source=source,
        root=Root.of(params.root),
        config=replace(
            config,
            pose_model=model_path(config.pose_model, "pose"),
            mask_model=model_path(config.mask_model, "masks"),
        ),
        gate=params.gate,
        device=params.device,
    )
    return RebuildJob(params=params, extraction=extraction)


def sized(
    job: RebuildJob, cluster: "Cluster", *, n_units: int
) -> tuple[Extraction, PoolConfig, str | None]:
    """The extraction and its pool as the cluster can hold them, and what a person should know.

    Where one extractor does not fit into a machine's memory, its batches are made smaller.
    """
    from priors.memory import fitting_batches

    extraction = job.extraction
    workers = pool_of(job.params.workers, cluster, n_units=n_units, device=extraction.device)
    if workers.memory_gib_each is not None:
        return extraction, workers, None
    was = extraction.config
    on_gpu = bool(workers.gpus_each)
    config, need_gib = fitting_batches(was, room_gib=cluster.memory_gib, on_gpu=on_gpu)
    note = None
    if config != was:
        note = (
            f"one extractor with batches of {was.batch_size} and {was.mask_batch_size} photos does "
            f"not fit into {cluster.memory_gib:.1f} GiB of memory: it takes {config.batch_size} "
            f"and {config.mask_batch_size} (extractor.batch_size, extractor.mask_batch_size)"
        )
    workers = replace(workers, memory_gib_each=round(need_gib, 2))
    return replace(extraction, config=config), workers, note


def pool_of(workers: PoolConfig, cluster: "Cluster", *, n_units: int, device: str) -> PoolConfig:
    """A pool's settings with what the cluster decides: GPUs, and spare workers where nodes join."""
    spare = workers.spare
    return replace(
        workers,
        count=min(workers.count or n_units, n_units),
        gpus_each=cluster.gpus_each(workers.gpus_each, device=device),
        spare=(0 if cluster.local else SPARE) if spare is None else spare,
    )


def with_room(
    cluster: "Cluster", workers: PoolConfig, params: ComputeParams, *, say: Callable[[str], None]
) -> "Cluster":
    """The cluster, once it has room for a pool's first worker.

    Raises:
        ClusterError: it has none in time.
    """
    return cluster.wait_for(
        cpus=workers.cpus_each, gpus=workers.gpus_each, device=params.device,
        limit_s=params.nodes_wait_s, say=say,
    )  # fmt: skip


def version_facts(params: RebuildParams, *, long_captions: bool = False) -> dict[str, Any]:
    """What a dataset version says about how it came about; places and machines are not among it.

    Its keys are part of the version's id, and older than the settings' names; what is younger than
    the first versions is among it only where it is not the default.

    Args:
        long_captions: of the source, as its work says.
    """
    mending = params.extractor.mending
    return {
        "pose_model": params.extractor.pose_model,
        "mask_model": params.extractor.mask_model,
        "image_size_px": params.extractor.imgsz,
        "gate": counted_gate(params.gate, long_captions=long_captions),
        "unit_size": params.unit_size,
        "duplicates": params.duplicates,
        "duplicate_distance_bits": params.duplicate_distance_bits,
        **({} if mending == MaskMending() else {"mask_mending": asdict(mending)}),
    }
