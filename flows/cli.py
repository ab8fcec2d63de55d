"""The ``hcp`` command: every option is also a field of a flow's parameters (flows.params)."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer
import yaml
from pydantic import BaseModel, ValidationError
from rich.console import Console
from rich.table import Table

from storage.errors import HcpError

app = typer.Typer(
    name="hcp",
    help="Human-centric Prior fine-tuning: priors at scale, training, evaluation, registry.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
console = Console()

P = TypeVar("P", bound=BaseModel)
Config = Annotated[
    Path | None,
    typer.Option(help="YAML file with any field of the flow's parameters; options win over it."),
]
RayAddress = Annotated[str | None, typer.Option(help="Ray cluster; default RAY_ADDRESS, or local.")]


def main() -> None:
    """Run the command line; a user's mistake ends with one clear message and exit code 2."""
    # A first start of Prefect's own in-process server takes longer than its default allows.
    os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "180")
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    try:
        app()
    except ValidationError as error:
        _fail("\n".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()))
    except HcpError as error:
        _fail(str(error))


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Where everything the demo makes is put.")] = Path(
        "out/demo"
    ),
) -> None:
    """Run the whole product on the embedded world: offline, two cores, a few minutes."""
    from demo.run import run_demo

    run_demo(out)


@app.command()
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

    version = rebuild_dataset(_params(RebuildParams, config, given))
    console.print(f"dataset version {version}")


@app.command("retry-failed")
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

    version = flow(_params(RetryParams, config, given, base=last_settings(root)))
    console.print(f"dataset version {version}")


@app.command()
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

    outcome = train_hcp(_params(TrainParams, config, given))
    console.print(f"checkpoint {outcome.checkpoint}")


@app.command()
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

    outcome = evaluate_hcp(_params(EvaluateParams, config, given))
    console.print(f"report {outcome.report}\n{outcome.verdict}")


@app.command()
def ablate(
    config: Annotated[Path, typer.Option(help="YAML file of flows.params.AblateParams.")],
) -> None:
    """Train and evaluate variants of the method (flow ablate-hcp)."""
    from flows.ablate import ablate_hcp, table_row
    from flows.params import AblateParams

    outcomes = ablate_hcp(_params(AblateParams, config, {}))
    _print_table("Ablation", [table_row(outcome) for outcome in outcomes])


@app.command()
def generate(
    base: Annotated[str, typer.Option(help="Diffusers id, folder or 'embedded'.")],
    prompt: Annotated[str, typer.Option(help="What to draw.")],
    out: Annotated[Path, typer.Option(help="The picture's file, .png or .jpg.")],
    checkpoint: Annotated[
        str | None, typer.Option(help="HcP adapter: folder or registry URI; none: the base.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same picture.")] = 0,
    steps: Annotated[int, typer.Option(min=1, help="Denoising steps.")] = 30,
    guidance: Annotated[float, typer.Option(min=1, help="Classifier-free guidance.")] = 7.5,
    maps: Annotated[
        bool,
        typer.Option("--maps", help="Also OUT.maps.png: each human word's attention on it."),
    ] = False,
) -> None:
    """Draw one picture with a base model and an HcP adapter."""
    from flows.jobs import generate_picture

    written = generate_picture(
        base=base, prompt=prompt, out=out, checkpoint=checkpoint,
        seed=seed, steps=steps, guidance=guidance, maps=maps,
    )  # fmt: skip
    for path in written:
        console.print(str(path), markup=False)
    if maps and len(written) == 1:
        console.print("no human word in the prompt, so no maps")


@app.command()
def inspect(
    dataset: Annotated[str, typer.Argument(help="ROOT or ROOT@VERSION.")],
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("inspect.html"),
) -> None:
    """Write one self-contained page about a dataset version: counts, rejects, pictures."""
    from flows.names import split_dataset
    from hcp.pages.inspection import render_inspection
    from storage.versions import open_version

    out.write_text(render_inspection(open_version(*split_dataset(dataset))), encoding="utf-8")
    console.print(str(out))


@app.command()
def verify(root: Annotated[str, typer.Argument(help="Where shards and versions live.")]) -> None:
    """Check digests, counts and sums of everything committed below a root."""
    from storage.verify import verify_root

    problems = verify_root(root)
    for problem in problems:
        console.print(problem, style="red", markup=False)
    console.print(f"{len(problems)} problems")
    sys.exit(1 if problems else 0)


@app.command()
def gc(
    root: Annotated[str, typer.Argument(help="Where shards and versions live.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list.")] = False,
) -> None:
    """Delete the shards that no dataset version names."""
    from storage.gc import collect_garbage

    gone = collect_garbage(root, dry_run=dry_run)
    for name in gone:
        console.print(name, markup=False)
    console.print(f"{len(gone)} shards {'would be ' if dry_run else ''}deleted")


@app.command()
def weights() -> None:
    """List the model weights known by name: kind, URL and sha256."""
    from priors.weights import KNOWN_WEIGHTS

    for name, row in KNOWN_WEIGHTS.items():
        digests = ", ".join(row.sha256) or "none known: needs --trust-weights"
        console.print(f"{name}  {row.kind}\n  {row.url}\n  sha256 {digests}", highlight=False)


@app.command()
def doctor() -> None:
    """Check this machine: Python, GPU, Prefect, Ray, embedded models, disk."""
    from flows.doctor import examine

    rows = examine()
    _print_table("hcp doctor", rows)
    sys.exit(1 if any(row["state"] == "bad" for row in rows) else 0)


def _params(
    kind: type[P],
    config: Path | None,
    given: dict[str, Any],
    *,
    base: Mapping[str, Any] | None = None,
) -> P:
    """The flow's parameters: what is known already, a file, and the options that were given."""
    fields: dict[str, Any] = dict(base or {})
    if config is not None:
        try:
            loaded: Any = yaml.safe_load(config.read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError) as error:
            _fail(f"--config {config}: not a readable YAML file: {error}")
        if not isinstance(loaded, dict):
            _fail(f"--config {config}: expected a mapping of parameters, got {loaded!r:.80}")
        fields.update(loaded)
    fields.update({name: value for name, value in given.items() if value is not None})
    return kind.model_validate(fields)


def _print_table(title: str, rows: list[dict[str, Any]]) -> None:
    table = Table(title=title)
    for name in rows[0] if rows else ():
        table.add_column(name)
    for row in rows:
        table.add_row(*(f"{v:.4f}" if isinstance(v, float) else str(v) for v in row.values()))
    console.print(table)


def _fail(message: str) -> NoReturn:
    Console(stderr=True).print(
        f"error: {message}", style="red", markup=False, highlight=False, soft_wrap=True
    )
    sys.exit(2)


if __name__ == "__main__":
    main()
