"""The commands that run a flow: every option is also a field of its parameters (flows.params)."""

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.console import say, say_table
from flows.cli.settings import load_params

Config = Annotated[
    Path | None,
    typer.Option(help="YAML file with any field of the flow's parameters; options win over it."),
]
RayAddress = Annotated[str | None, typer.Option(help="Ray cluster; default RAY_ADDRESS, or local.")]


def rebuild(
    source: Annotated[str | None, typer.Option(help="Captioned photos, any fsspec URL.")] = None,
    root: Annotated[str | None, typer.Option(help="Where shards and versions live.")] = None,
    format: Annotated[  # noqa: A002 - the option's name is pinned
        str | None, typer.Option(help="auto, folder, table, webdataset or coco.")
    ] = None,
    images: Annotated[str | None, typer.Option(help="COCO: the folder of photos.")] = None,
    pose_model: Annotated[str | None, typer.Option(help="Name, path, URL or 'embedded'.")] = None,
    mask_model: Annotated[str | None, typer.Option(help="Name, path, URL or 'embedded'.")] = None,
    unit_size: Annotated[int | None, typer.Option(help="Samples of one shard, about.")] = None,
    trust_weights: Annotated[
        bool | None, typer.Option("--trust-weights", help="Load unknown pickled weights.")
    ] = None,
    duplicates: Annotated[
        str | None, typer.Option(help="Repeats the version leaves out: keep, exact, perceptual.")
    ] = None,
    ray_address: RayAddress = None,
    config: Config = None,
) -> None:
    """Extract pose and mask priors into a dataset version (flow rebuild-dataset)."""
    given = {k: v for k, v in locals().items() if k != "config"}
    from flows.params import RebuildParams
    from flows.rebuild import rebuild_dataset

    version = rebuild_dataset(load_params(RebuildParams, config, given))
    say(f"dataset version {version}")


def retry_failed(
    root: Annotated[str, typer.Argument(help="Where shards and versions live.")],
    reason: Annotated[
        list[str] | None, typer.Option(help="Reject reason to try again; may be repeated.")
    ] = None,
    ray_address: RayAddress = None,
    config: Config = None,
) -> None:
    """Try rejects again that may work now, such as unreadable ones (flow retry-failed)."""
    given = {"root": root, "ray_address": ray_address, "reasons": reason or None}
    from flows.params import RetryParams
    from flows.retry import last_settings
    from flows.retry import retry_failed as flow

    version = flow(load_params(RetryParams, config, given, base=last_settings(root)))
    say(f"dataset version {version}")


def train(
    dataset: Annotated[str | None, typer.Option(help="ROOT or ROOT@VERSION.")] = None,
    base: Annotated[str | None, typer.Option(help="Diffusers id, folder or 'embedded'.")] = None,
    out: Annotated[str | None, typer.Option(help="Where checkpoints are written.")] = None,
    steps: Annotated[int | None, typer.Option(help="Optimizer steps.")] = None,
    workers: Annotated[int | None, typer.Option(help="Ray Train workers.")] = None,
    resume: Annotated[
        bool | None, typer.Option("--resume", help="Go on from the last checkpoint.")
    ] = None,
    ray_address: RayAddress = None,
    config: Config = None,
) -> None:
    """Fine-tune an HcP layer on a dataset version (flow train-hcp)."""
    given = {k: v for k, v in locals().items() if k != "config"}
    from flows.params import TrainParams
    from flows.train import train_hcp

    outcome = train_hcp(load_params(TrainParams, config, given))
    say(f"checkpoint {outcome.checkpoint}")


def evaluate(
    checkpoint: Annotated[str | None, typer.Option(help="Folder or registry URI.")] = None,
    base: Annotated[str | None, typer.Option(help="Diffusers id, folder or 'embedded'.")] = None,
    prompts: Annotated[str | None, typer.Option(help="File, one prompt a line.")] = None,
    out: Annotated[str | None, typer.Option(help="Where the report is written.")] = None,
    dataset: Annotated[str | None, typer.Option(help="ROOT[@VERSION] with val photos.")] = None,
    pose_model: Annotated[str | None, typer.Option(help="Model that judges people.")] = None,
    trust_weights: Annotated[
        bool | None, typer.Option("--trust-weights", help="Load unknown pickled weights.")
    ] = None,
    register_model: Annotated[
        bool | None, typer.Option("--register", help="Enter it in the model registry.")
    ] = None,
    ray_address: RayAddress = None,
    config: Config = None,
) -> None:
    """Compare a checkpoint with base and champion, write the report (flow evaluate-hcp)."""
    given = {k: v for k, v in locals().items() if k != "config"}
    from flows.evaluate import evaluate_hcp
    from flows.params import EvaluateParams

    outcome = evaluate_hcp(load_params(EvaluateParams, config, given))
    say(f"report {outcome.report}\n{outcome.verdict}")


def ablate(
    config: Annotated[Path, typer.Option(help="YAML file of flows.params.AblateParams.")],
) -> None:
    """Train and evaluate variants of the method (flow ablate-hcp)."""
    from flows.ablate import ablate_hcp, table_row
    from flows.params import AblateParams

    outcomes = ablate_hcp(load_params(AblateParams, config, {}))
    say_table([table_row(outcome) for outcome in outcomes])
