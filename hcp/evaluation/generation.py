"""Draw pictures with a base pipeline, with or without what was trained, from explicit seeds."""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hcp.adapter import HcpAdapter
from hcp.base import BasePipeline
from hcp.config import HcpConfig
from hcp.evaluation.attention_maps import MapRecorder, Word, select_words
from hcp.sites import Site, find_sites
from hcp.tokens import human_token_kinds
from hcp.training.batches import tokenize
from hcp.training.methods.trained import Trained

Image8 = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureOptions:
    """What else a picture depends on."""

    negative_prompt: str | None = None
    width_px: int | None = None  # None: what the base was trained on
    height_px: int | None = None


def generate(
    pipeline: BasePipeline,
    prompts: Sequence[str],
    *,
    seeds: Sequence[int],
    steps: int = 30,
    guidance: float = 7.5,
    adapter: Trained | None = None,
    options: PictureOptions | None = None,
    batch_size: int = 4,
    on_progress: Callable[[int], None] | None = None,
) -> list[Image8]:
    """One picture per prompt, HWC uint8 RGB, in the order given.

    Picture i depends on prompt i, seed i and `batch_size` alone (kernels may round differently in
    batches of another size), so base and candidate compare pixel by pixel.

    Args:
        pipeline: the base; an adapter that is attached to it already stays and takes part.
        adapter: attached for this call, detached afterwards.
        options: negative prompt and size.
        batch_size: pictures per U-Net call.
        on_progress: called with the number of pictures done.
    Raises:
        ValueError: as many seeds as prompts are needed.
        CheckpointError: the adapter does not fit the pipeline.
    """
    if len(prompts) != len(seeds):
        raise ValueError(f"one seed per prompt: got {len(prompts)} prompts, {len(seeds)} seeds")
    images: list[Image8] = []
    options = options or PictureOptions()
    with attached(pipeline, adapter):
        for start in range(0, len(prompts), batch_size):
            part = slice(start, start + batch_size)
            chosen = list(prompts[part])
            negative = options.negative_prompt
            result: Any = pipeline(
                chosen,
                negative_prompt=None if negative is None else [negative] * len(chosen),
                width=options.width_px,
                height=options.height_px,
                num_inference_steps=steps,
                guidance_scale=guidance,
                generator=[torch.Generator().manual_seed(seed) for seed in seeds[part]],
                output_type="pil",
            )
            images += [np.asarray(image.convert("RGB")) for image in result.images]
            if on_progress is not None:
                on_progress(len(images))
    return images


@contextmanager
def attached(
    pipeline: BasePipeline, adapter: Trained | None, *, any_base: bool = False
) -> Generator[None]:
    """The pipeline with the adapter inside, for the block; one that is inside already stays.

    ``any_base`` accepts a base of the same layout with other weights.
    """
    inside = isinstance(adapter, HcpAdapter) and adapter.is_attached(pipeline)
    if adapter is None or inside or adapter.pipeline is pipeline:
        yield
        return
    leave = adapter.detach
    if isinstance(adapter, HcpAdapter):  # the others take the pipeline's place and numbers
        adapter.to(pipeline.device)
        leave = partial(adapter.detach, pipeline)
    adapter.attach(pipeline, any_base=any_base)
    try:
        yield
    finally:
        leave()


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A picture and every attention map of its prompt's human words."""

    image: Image8
    words: tuple[Word, ...]
    maps: MapRecorder


def record_picture(
    pipeline: BasePipeline,
    prompt: str,
    *,
    seed: int,
    steps: int = 30,
    guidance: float = 7.5,
    adapter: Trained | None = None,
    options: PictureOptions | None = None,
) -> Recording:
    """Draw one picture and keep the maps of all layers and steps.

    Without HcP layers the base's own maps are looked at, with whatever was trained in place, where
    the default HcP config would put layers.

    Raises:
        CheckpointError: the adapter does not fit the pipeline.
    """
    ids = tokenize(pipeline.tokenizer, [prompt])
    columns, words = select_words(
        pipeline.tokenizer, ids, human_token_kinds(pipeline.tokenizer, [prompt])
    )
    sites, layers = watched_sites(pipeline, adapter), hcp_layers(adapter)
    recorder = MapRecorder(pipeline.unet, sites, columns, adapter=layers)
    # Attached before: LoRA takes the place of the projections that the recorder watches.
    with attached(pipeline, adapter), recorder.recording():
        image = generate(
            pipeline, [prompt], seeds=[seed], steps=steps, guidance=guidance, adapter=adapter,
            options=options,
        )[0]  # fmt: skip
    return Recording(image=image, words=tuple(words[0]), maps=recorder)


def watched_sites(pipeline: BasePipeline, adapter: Trained | None) -> tuple[Site, ...]:
    """The HcP layers' cross-attentions; without any, those that the default HcP config chooses."""
    layers = hcp_layers(adapter)
    return find_sites(pipeline.unet, HcpConfig()) if layers is None else layers.card.sites


def hcp_layers(adapter: Trained | None) -> HcpAdapter | None:
    """What was trained, where that is HcP layers; None for other methods."""
    return adapter if isinstance(adapter, HcpAdapter) else None
