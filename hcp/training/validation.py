"""The validation loss: held-out photos at fixed noise levels, with the weights of a checkpoint.

Each photo's crop, noise and noise levels depend on the validation's seed and the photo alone, so
that the numbers of two steps, two methods or two runs compare, whatever the number of workers and
the batch size. Nothing of the training changes: not its weights, not its random state.

Dimension legend: N noise levels (the rows of one U-Net call: one photo at each level), C h w latent
channels, height and width.
"""

import logging
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain, islice, zip_longest
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hcp.config import STAGES
from hcp.training.batches import Batch, collate, sample_rng
from hcp.training.denoising import Encoded, denoising_loss, encode, step_generator
from hcp.training.examples import make_example
from hcp.training.methods.protocol import Terms
from hcp.training.state import averaged
from hcp.training.trainer import Trainer
from hcp.training.watching import Validation, ValidationConfig
from storage.errors import HcpError
from storage.records import Sample
from storage.streaming import SampleStream, StoredPlace

logger = logging.getLogger(__name__)

S = TypeVar("S")


@dataclass(frozen=True, slots=True, kw_only=True)
class Photo:
    """One photo, ready for the U-Net."""

    index: int  # among all ranks' photos
    batch: Batch  # N times the same; without its pixels
    encoded: Encoded  # N rows
    noise: Tensor  # [N, C, h, w]


class Validator:
    """The photos of one rank, encoded once: what encodes them never trains."""

    def __init__(
        self,
        trainer: Trainer,
        samples: Iterable[S],
        *,
        to_batch: Callable[[S], Batch],
    ) -> None:
        """Encode this rank's share of the first ``photos`` samples.

        Args:
            trainer: whose base encodes them.
            samples: the photos, or their places, in the same order on every rank.
            to_batch: reads one as a batch of one photo, as ``photo_batch`` makes it; what cannot be
                read is left out, with a warning.
        """
        self._trainer, self._config = trainer, trainer.config.validation
        self._levels = self._config.noise_levels
        self._photos: list[Photo] = []
        for index, sample in enumerate(islice(samples, self._config.photos)):
            if index % trainer.world_size != trainer.rank:
                continue
            try:
                self._photos.append(self._prepared(index, to_batch(sample)))
            except (HcpError, OSError, ValueError, RuntimeError) as error:
                logger.warning("a validation photo is left out: %s", error)

    def measure(self) -> Validation | None:
        """The losses now, the same on every rank, which all must ask; None without photos."""
        trainer = self._trainer
        table = np.zeros((self._config.photos, _columns(self._levels)))
        with untouched(trainer), averaged(trainer):
            for photo in self._photos:
                try:
                    table[photo.index] = self._losses(photo)
                except RuntimeError as error:  # out of memory, above all
                    logger.warning("validation photo %s is left out: %s", photo.batch.keys, error)
        return _mean(_summed(table, trainer), trainer.step_done, self._levels)

    def _prepared(self, index: int, one: Batch) -> Photo:
        trainer, seed, number = self._trainer, self._config.seed, int(one.keys[0], 16)
        with untouched(trainer):
            encoded = encode(trainer.pipeline, one, step_generator(seed, 0, 0, number))
        shape, n = encoded.latents.shape, len(self._levels)
        noise = [
            torch.randn(shape, generator=step_generator(seed, 1, level, number))
            for level in range(n)
        ]
        return Photo(
            index=index,
            batch=_repeated_batch(one, n),
            encoded=_repeated(encoded, n),
            noise=torch.cat(noise).to(encoded.latents),
        )

    def _losses(self, photo: Photo) -> NDArray[np.float64]:
        trainer, latents = self._trainer, photo.encoded.latents
        total = int(trainer.scheduler.config.num_train_timesteps)
        levels = torch.tensor([int(level * total) for level in self._levels], device=latents.device)
        noisy = trainer.scheduler.add_noise(latents, photo.noise, levels)
        size = (latents.shape[-2], latents.shape[-1])
        with trainer.method.around(photo.batch):
            with trainer.autocast():
                prediction = photo.encoded.predict(trainer.pipeline.unet, noisy, levels)
            terms = trainer.method.extra(photo.batch, levels, size)
        denoise = [
            denoising_loss(
                trainer.scheduler, prediction[i : i + 1], latents[i : i + 1],
                noise=photo.noise[i : i + 1], timesteps=levels[i : i + 1],
            )
            for i in range(len(levels))
        ]  # fmt: skip
        human = bool((photo.batch.token_kinds > 0).any())
        return np.array([1.0, *torch.stack(denoise).tolist(), *_figures(terms, human=human)])


@contextmanager
def untouched(trainer: Trainer) -> Generator[None]:
    """For looking at a training: no gradients, dropout off, the random state as it was, after."""
    unet = trainer.pipeline.unet
    training = [module for module in unet.modules() if module.training]
    devices = [trainer.device] if trainer.device.type == "cuda" else []
    with torch.no_grad(), torch.random.fork_rng(devices=devices):
        unet.eval()
        try:
            yield
        finally:
            for module in training:
                module.training = True


_FIGURES = ("alignment", "attention_share")


def _columns(levels: Sequence[float]) -> int:
    return 1 + len(levels) + len(_FIGURES) * (1 + len(STAGES))


def _figures(terms: Terms, *, human: bool) -> list[float]:
    # In the order of _FIGURES, the mean first and then by stage; not a number: not measured.
    known = human and bool(terms.by_stage)
    values: list[Tensor | None] = [
        terms.alignment if known else None,
        *(terms.by_stage.get(stage) for stage in STAGES),
        terms.attention_share,
        *(terms.share_by_stage.get(stage) for stage in STAGES),
    ]
    return [float("nan") if value is None else float(value) for value in values]


def _summed(table: NDArray[np.float64], trainer: Trainer) -> NDArray[np.float64]:
    # Each row is some rank's and zero on the others, so that the sum is exact.
    if trainer.world_size == 1:
        return table
    everyone = torch.from_numpy(table).to(trainer.device)
    torch.distributed.all_reduce(everyone)
    return everyone.cpu().numpy()


def _mean(table: NDArray[np.float64], step: int, levels: Sequence[float]) -> Validation | None:
    rows = table[table[:, 0] > 0, 1:]
    if not len(rows):
        return None
    denoise, figures = rows[:, : len(levels)], rows[:, len(levels) :]
    names = [(figure, stage) for figure in _FIGURES for stage in ("", *STAGES)]
    means = {
        name: float(column[known].mean())
        for name, column in zip(names, figures.T, strict=True)
        if (known := ~np.isnan(column)).any()
    }

    def by_stage(figure: str) -> dict[str, float]:
        return {stage: means[figure, stage] for stage in STAGES if (figure, stage) in means}

    return Validation(
        step=step,
        loss=float(denoise.mean()),
        by_noise_level={
            f"{level:g}": float(denoise[:, i].mean()) for i, level in enumerate(levels)
        },
        alignment=means.get(("alignment", "")),
        alignment_by_stage=by_stage("alignment"),
        attention_share=means.get(("attention_share", "")),
        attention_share_by_stage=by_stage("attention_share"),
        photos=len(rows),
    )


def held_out(streams: Sequence[SampleStream], config: ValidationConfig) -> list[StoredPlace]:
    """The places of the photos that are measured, of all versions in turn; nothing is read."""
    orders = [[p for p, _ in islice(s.places(), min(s.size, config.photos))] for s in streams]
    turns = chain.from_iterable(zip_longest(*orders))
    return list(islice((place for place in turns if place is not None), config.photos))


def photo_batch(trainer: Trainer, sample: Sample) -> Batch:
    """One photo as validation sees it: the largest square around its people, never mirrored.

    Raises:
        OSError, ValueError: the photo cannot be read.
    """
    data = replace(
        trainer.config.data, flip_probability=0.0, caption_dropout=0.0, min_crop_scale=1.0
    )
    rng = sample_rng(trainer.config.validation.seed, 0, sample.key)
    example = make_example(sample, config=data, rng=rng)
    return collate([example], tokenizer=trainer.pipeline.tokenizer)


def _repeated_batch(one: Batch, n: int) -> Batch:
    return replace(
        one,
        keys=one.keys * n,
        captions=one.captions * n,
        # Of the pixels only the size is asked for from here on.
        pixels=torch.empty(1).expand(n, *one.pixels.shape[1:]),
        input_ids=one.input_ids.repeat(n, 1),
        token_kinds=one.token_kinds.repeat(n, 1),
        keypoints=one.keypoints * n,
        masks=one.masks.expand(n, -1, -1),
        time_ids=one.time_ids.repeat(n, 1),
    )


def _repeated(encoded: Encoded, n: int) -> Encoded:
    added: Any = encoded.added
    return Encoded(
        latents=encoded.latents.repeat(n, 1, 1, 1),
        text=encoded.text.repeat(n, 1, 1),
        added=added and {name: value.repeat(n, 1) for name, value in added.items()},
    )
