"""What one does with a finished adapter: draw pictures with it, push it to the hub."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import typer

from flows.cli.console import say, say_json
from flows.cli.options import AsJson, Registry
from storage.errors import HcpError

N = TypeVar("N", int, float)

Checkpoint = Annotated[
    str | None, typer.Option(help="Adapter: folder, registry URI or hub id; none: the base.")
]
Prompts = Annotated[
    str | None, typer.Option(help="Instead: a file, one prompt a line; --out is a folder.")
]
AnyBase = Annotated[
    bool, typer.Option("--any-base", help="Take a fine-tune of the adapter's base too.")
]
Strength = Annotated[float, typer.Option(help="Of the adapter: 0 is the base, 1 as trained.")]
Strengths = Annotated[
    str | None, typer.Option(metavar="0,0.5,1", help="Side by side, in one labelled grid.")
]
Seeds = Annotated[str | None, typer.Option(metavar="0,1,2", help="Instead: one picture for each.")]
Side = Annotated[int | None, typer.Option(help="px, a multiple of 8; default the base's.")]
Device = Annotated[
    Literal["auto", "cpu", "cuda"], typer.Option(help="auto: the GPU where there is one.")
]
Dtype = Annotated[
    Literal["auto", "float32", "float16", "bfloat16"],
    typer.Option(help="auto: float16 on a GPU, else float32."),
]
Maps = Annotated[
    bool, typer.Option("--maps", help="Also PICTURE.maps.png: where each human word looks.")
]


def generate(
    base: Annotated[
        str, typer.Option(help="Diffusers id, folder, .safetensors file or 'embedded'.")
    ],
    out: Annotated[Path, typer.Option(help="A picture's file, .png or .jpg, or a folder.")],
    prompt: Annotated[str | None, typer.Option(help="What to draw.")] = None,
    prompts: Prompts = None,
    negative_prompt: Annotated[str | None, typer.Option(help="What not to draw.")] = None,
    checkpoint: Checkpoint = None,
    registry: Registry = None,
    any_base: AnyBase = False,
    strength: Strength = 1.0,
    strengths: Strengths = None,
    seed: Annotated[int, typer.Option(help="Same seed, same picture.")] = 0,
    seeds: Seeds = None,
    width: Side = None,
    height: Side = None,
    steps: Annotated[int, typer.Option(min=1, help="Denoising steps.")] = 30,
    guidance: Annotated[float, typer.Option(min=1, help="Classifier-free guidance.")] = 7.5,
    device: Device = "auto",
    dtype: Dtype = "auto",
    maps: Maps = False,
    as_json: AsJson = False,
) -> None:
    """Draw pictures with a base model and an adapter: one, one for each prompt and seed, a grid."""
    from flows.pictures import PictureJob, draw_pictures

    if seeds is not None and seed:
        raise HcpError("seed: give --seed or --seeds, not both")
    job = PictureJob(
        base=base, out=out, prompt=prompt, prompts=prompts, negative_prompt=negative_prompt,
        seeds=_numbers(int, seeds) or (seed,), checkpoint=checkpoint, registry=registry,
        any_base=any_base, strength=strength, strengths=_numbers(float, strengths), width=width,
        height=height, steps=steps, guidance=guidance, device=device, dtype=dtype, maps=maps,
    )  # fmt: skip
    written: list[str] = []
    for path in draw_pictures(job):
        written.append(str(path))
        if not as_json:  # each as soon as it is there
            say(path)
    if as_json:
        say_json({"pictures": written})
    elif maps and prompt is not None and seeds is None and len(written) == 1:
        say("no human word in the prompt, so no maps")


def push(
    checkpoint: Annotated[str, typer.Argument(help="Folder, pointer, registry URI or hub id.")],
    repo: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="Made where there is none.")],
    private: Annotated[
        bool, typer.Option("--private", help="Of a new repository: for its owner alone.")
    ] = False,
    revision: Annotated[str | None, typer.Option(help="Branch; default main.")] = None,
    registry: Registry = None,
    as_json: AsJson = False,
) -> None:
    """Put an adapter on the Hugging Face hub: its files, marker and model card, in one commit."""
    from flows.cards import push_adapter

    url = push_adapter(checkpoint, repo, private=private, revision=revision, registry=registry)
    if as_json:
        say_json({"url": url})
    else:
        say(url)


def _numbers(kind: Callable[[str], N], text: str | None) -> tuple[N, ...]:
    try:
        return () if text is None else tuple(kind(part) for part in text.split(","))
    except ValueError as error:
        raise HcpError(
            f"expected numbers with commas between, such as 0,1,2, got {text!r}"
        ) from error
