"""The commands that start no flow of their own: champions, pages, checks, the demo."""

import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.console import say, say_table
from storage.errors import RegistryError
from storage.registry import CHAMPION, ModelEntry, existing, parse_model
from storage.registry import Registry as Models

Registry = Annotated[
    str | None, typer.Option(help="MLflow URI; default MLFLOW_TRACKING_URI, or ./hcp-registry.db.")
]


def demo(
    out: Annotated[Path, typer.Option(help="Where everything the demo makes is put.")] = Path(
        "out/demo"
    ),
) -> None:
    """Run the whole product on the embedded world: offline, two cores, a few minutes."""
    # By name: no package imports `demo`, which stands above them all.
    import_module("demo.run").run_demo(out)


def promote(
    model: Annotated[str, typer.Argument(help="NAME/VERSION, as in hcp-registry:NAME/VERSION.")],
    registry: Registry = None,
) -> None:
    """Make a registered version the champion, after its checkpoint was checked."""
    name, version = parse_model(model)
    if not name or not version:
        raise RegistryError(f"promote: expected NAME/VERSION, got {model!r}")
    _move(name, registry, lambda models: models.promote(name, version))


def rollback(
    model: Annotated[str, typer.Argument(metavar="NAME", help="The model's name, such as hcp.")],
    registry: Registry = None,
) -> None:
    """Make the champion before this one the champion again; repeat it to go further back."""
    name, version = parse_model(model)
    if not name or version not in ("", CHAMPION):
        raise RegistryError(f"rollback: expected NAME, got {model!r}; promote chooses a version")
    _move(name, registry, lambda models: models.rollback(name))


def _move(name: str, registry: str | None, move: Callable[[Models], ModelEntry]) -> None:
    models = existing(registry)
    before = models.champion(name)
    was = f"version {before.version}" if before else "none"
    say(f"champion of {name}: version {move(models).version} (before: {was})")


def inspect(
    dataset: Annotated[str, typer.Argument(help="ROOT or ROOT@VERSION.")],
    out: Annotated[str, typer.Option(help="The page to write.")] = "inspect.html",
) -> None:
    """Write one self-contained page about a dataset version: counts, rejects, pictures."""
    from flows.names import split_dataset
    from hcp.pages.inspection import render_inspection
    from storage.locations import normalised, write_atomic
    from storage.versions import open_version

    place = normalised(out)
    write_atomic(place, render_inspection(open_version(*split_dataset(dataset))).encode())
    say(place)


def verify(root: Annotated[str, typer.Argument(help="Where shards and versions live.")]) -> None:
    """Check digests, counts and sums of everything committed below a root."""
    from storage.verify import verify_root

    problems = verify_root(root)
    for problem in problems:
        say(problem)
    say(f"{len(problems)} problems")
    sys.exit(1 if problems else 0)


def gc(
    root: Annotated[str, typer.Argument(help="Where shards and versions live.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list.")] = False,
) -> None:
    """Delete the shards that no dataset version names."""
    from storage.gc import collect_garbage

    with nullcontext() if dry_run else _lock(root):
        gone = collect_garbage(root, dry_run=dry_run)
    for name in gone:
        say(name)
    say(f"{len(gone)} files {'would be ' if dry_run else ''}deleted")


def _lock(root: str) -> AbstractContextManager[None]:
    """Of the root, on the server that the flows use, where one is named."""
    if not os.environ.get("PREFECT_API_URL"):
        return nullcontext()
    from flows.locks import root_lock

    return root_lock(root)


def weights() -> None:
    """List the model weights known by name: kind, URL and sha256."""
    from priors.weights import KNOWN_WEIGHTS

    for name, row in KNOWN_WEIGHTS.items():
        digests = ", ".join(row.sha256) or "none known: needs --trust-weights"
        say(f"{name}  {row.kind}\n  {row.url}\n  sha256 {digests}")


def doctor() -> None:
    """Check this machine: Python, GPU, Prefect, Ray, embedded models, disk."""
    from flows.doctor import examine

    rows = examine()
    say_table(rows)
    sys.exit(1 if any(row["state"] == "bad" for row in rows) else 0)
