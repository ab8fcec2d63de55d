"""Options that commands share: what they are called, what their help says, what a shell offers."""

from pathlib import Path
from typing import Annotated

import typer

from flows.cli import choices

AsJson = Annotated[bool, typer.Option("--json", help="For scripts: one JSON document on stdout.")]
Registry = Annotated[
    str | None, typer.Option(help="MLflow URI; default MLFLOW_TRACKING_URI, or ./hcp-registry.db.")
]
RootPlace = Annotated[str, typer.Argument(help="Where shards and versions live.")]
Config = Annotated[
    Path | None, typer.Option(help="YAML file of any settings; --set and options win over it.")
]
Preset = Annotated[
    str | None,
    typer.Option(
        help="Settings that go together: sd15, sdxl, paper or demo.", autocompletion=choices.presets
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="path.to.field=value: any setting; may be repeated."),
]
RayAddress = Annotated[str | None, typer.Option(help="Ray cluster; default RAY_ADDRESS, or local.")]
Device = Annotated[
    str | None,
    typer.Option(help="Of all models: auto, cpu or cuda.", autocompletion=choices.fixed("device")),
]
Format = Annotated[
    str | None,
    typer.Option(
        help="auto, folder, table, webdataset or coco.", autocompletion=choices.fixed("format")
    ),
]
Duplicates = Annotated[
    str | None,
    typer.Option(
        help="Repeats the version leaves out: keep, exact, perceptual.",
        autocompletion=choices.fixed("duplicates"),
    ),
]
Method = Annotated[
    str | None,
    typer.Option(
        help="hcp, hcp+value and so on, lora, attention, region, full.",
        autocompletion=choices.methods,
    ),
]
UseCache = Annotated[
    str | None,
    typer.Option(
        help="Read what `hcp cache` wrote: off, auto or required.",
        autocompletion=choices.fixed("cache"),
    ),
]
Reasons = Annotated[
    list[str] | None,
    typer.Option(
        "--reason",
        help="Reject reason to try again; may be repeated.",
        autocompletion=choices.reasons,
    ),
]
Trust = Annotated[
    bool | None, typer.Option("--trust-weights", help="Load unknown pickled weights.")
]
Base = Annotated[
    str | None, typer.Option(help="Diffusers id, folder, .safetensors file or 'embedded'.")
]
AnyBase = Annotated[
    bool | None, typer.Option("--any-base", help="Take a fine-tune of the checkpoint's base too.")
]
