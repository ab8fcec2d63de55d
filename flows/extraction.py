"""The extractor that a rebuild's parameters describe.

A module of its own: Prefect loads a deployed flow's file under another name, and what an actor
unpickles must be importable by its real one.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flows.names import model_path
from flows.params import RebuildParams
from storage.canonical import digest_of
from storage.layout import Root
from storage.sources import resolve_source

if TYPE_CHECKING:
    from priors.config import ExtractorConfig
    from priors.decode import Decode
    from priors.extract import Extractor


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractorFactory:
    """Builds the extractor inside an actor; pickles as its parameters."""

    params: RebuildParams
    root: Root  # made by the driver: a relative path means its working directory, not an actor's
    decode: "Decode | None" = None  # elsewhere; None: in the extractor's own threads

    def __call__(self) -> "Extractor":
        """Load the models."""
        from hcp.tokens import human_spans
        from priors.extract import Extraction, Extractor

        params = self.params
        extraction = Extraction(
            source=resolve_source(params.source, format=params.format, images=params.images),
            root=self.root,
            config=extractor_config(params),
            gate=params.gate,
            device=params.device,
        )
        return Extractor(extraction, human_spans, decode=self.decode)


def extractor_config(params: RebuildParams) -> "ExtractorConfig":
    """The extractor's own configuration."""
    from priors.config import ExtractorConfig

    return ExtractorConfig(
        pose_model=model_path(params.pose_model, "pose"),
        mask_model=model_path(params.mask_model, "masks"),
        imgsz=params.image_size_px,
        batch_size=params.batch_size,
        mask_batch_size=params.batch_size,
        trust_weights=params.trust_weights,
    )


def extraction_digest(params: RebuildParams) -> str:
    """The plan's salt: all that shapes a shard besides its records."""
    from hcp.tokens import TOKENS_VERSION
    from priors.extract import config_digest

    return digest_of([config_digest(extractor_config(params), params.gate), TOKENS_VERSION])
