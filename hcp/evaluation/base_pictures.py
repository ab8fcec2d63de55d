"""The base's pictures, kept: every evaluation of the same base, prompts and seeds draws them alike.

A picture comes back bit for bit or is drawn again: whatever may round it otherwise (device, float
type, threads, libraries) is a part of its file's name.
"""

import io
import logging
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hcp.evaluation.results import EvaluationConfig, PictureSet
from storage.canonical import digest_of, plain_json
from storage.locations import exists, join, read_bytes, write_atomic
from storage.provenance import library_versions

logger = logging.getLogger(__name__)

Image8 = NDArray[np.uint8]

_LIBRARIES = ("hcp", "torch", "diffusers", "transformers")


@dataclass(frozen=True, slots=True, kw_only=True)
class BasePictures:
    """A file for each set of pictures in ``folder``, named by all that they depend on."""

    folder: str  # path or URL
    base: str  # digest of the base's files: hcp.training.cache.base_digest
    config: EvaluationConfig
    device: str
    dtype: torch.dtype

    @property
    def place(self) -> str:
        """The file of the evaluation's own prompts and seeds."""
        return self.place_of(self.config.picture_set())

    def place_of(self, wanted: PictureSet) -> str:
        """The file of a set."""
        config = self.config
        named = {
            "base": self.base,
            "prompts": wanted.prompts,
            "seeds": wanted.seeds,
            "steps": config.steps,
            "guidance": config.guidance,
            "batch_size": config.batch_size,
            "dtype": str(self.dtype),
            "device": device_facts(self.device),
            "libraries": library_versions(_LIBRARIES),
        }
        return join(self.folder, f"{digest_of(plain_json(named))}.npz")

    def has(self, wanted: PictureSet) -> bool:
        """Whether a set was kept already; its file may still turn out to be broken."""
        return exists(self.place_of(wanted))

    def or_drawn(
        self, draw: Callable[[], Sequence[Image8]], wanted: PictureSet | None = None
    ) -> list[Image8]:
        """The pictures of an earlier evaluation; else what ``draw`` makes, kept for the next one.

        Of the evaluation's own prompts and seeds where no other set is named.

        Pictures that cannot be read are drawn again, and those that cannot be written are warned
        of: neither ends an evaluation.
        """
        place = self.place_of(wanted or self.config.picture_set())
        if exists(place):
            try:
                with np.load(io.BytesIO(read_bytes(place)), allow_pickle=False) as found:
                    return list(found["pictures"])
            except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
                logger.warning("%s cannot be read, drawing again: %s", place, error)
        drawn = list(draw())
        content = io.BytesIO()
        np.savez_compressed(content, pictures=np.stack(drawn))
        try:
            write_atomic(place, content.getvalue())
        except OSError as error:
            logger.warning("the base's pictures are not kept: %s: %s", place, error)
        return drawn


def device_facts(device: str) -> list[Any]:
    """What of a device may round a picture otherwise than another."""
    if torch.device(device).type == "cuda":
        return [torch.cuda.get_device_name(device)]
    return [str(torch.backends.cpu.get_cpu_capability()), torch.get_num_threads()]
