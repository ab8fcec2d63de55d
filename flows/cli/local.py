"""The commands that start no flow of their own: champions, weights, checks, the demo."""

from collections.abc import Callable
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.cli.console import say, say_json, say_table
from flows.cli.options import AsJson, Registry
from storage.errors import RegistryError
from storage.registry import CHAMPION, ModelEntry, existing, parse_model
from storage.registry import Registry as Models


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
    as_json: AsJson = False,
) -> None:
    """Make a registered version the champion, after its checkpoint was checked."""
    name, version = parse_model(model)
    if not name or not version:
        raise RegistryError(f"promote: expected NAME/VERSION, got {model!r}")
    _move(name, registry, lambda models: models.promote(name, version), as_json=as_json)


def rollback(
    model: Annotated[str, typer.Argument(metavar="NAME", help="The model's name, such as hcp.")],
    registry: Registry = None,
    as_json: AsJson = False,
) -> None:
    """Make the champion before this one the champion again; repeat it to go further back."""
    name, version = parse_model(model)
    if not name or version not in ("", CHAMPION):
        raise RegistryError(f"rollback: expected NAME, got {model!r}; promote chooses a version")
    _move(name, registry, lambda models: models.rollback(name), as_json=as_json)


def models(
    name: Annotated[str | None, typer.Argument(help="Of one model; default all.")] = None,
    registry: Registry = None,
    as_json: AsJson = False,
) -> None:
    """List the registered models: versions, which of them is the champion, where they lie."""
    known = existing(registry)
    names = known.names() if name is None else [name]
    champions = {each: known.champion(each) for each in names}
    rows: list[dict[str, Any]] = [
        {
            "model": f"{entry.name}/{entry.version}",
            "champion": entry == champions[each],
            "checkpoint": entry.uri,
            "metrics": dict(entry.metrics),
        }
        for each in names
        for entry in known.entries(each)
    ]
    if as_json:
        say_json({"models": rows})
        return
    score = "candidate.people_score"
    say_table(
        [
            {
                "model": row["model"],
                "": "champion" if row["champion"] else "",
                "people score": row["metrics"].get(score),
                "checkpoint": row["checkpoint"],
            }
            for row in rows
        ]
    )
    say(f"{len(rows)} versions of {len(names)} models")


def _move(
    name: str,
    registry: str | None,
    move: Callable[[Models], ModelEntry],
    *,
    as_json: bool,
) -> None:
    known = existing(registry)
    before = known.champion(name)
    now = move(known)
    if as_json:
        was = before.version if before else None
        say_json({"model": name, "champion": now.version, "before": was, "checkpoint": now.uri})
        return
    was = f"version {before.version}" if before else "none"
    say(f"champion of {name}: version {now.version} (before: {was})")


def weights(as_json: AsJson = False) -> None:
    """List the model weights known by name: kind, URL and sha256."""
    from priors.weights import KNOWN_WEIGHTS

    if as_json:
        say_json({"weights": {name: asdict(row) for name, row in KNOWN_WEIGHTS.items()}})
        return
    for name, row in KNOWN_WEIGHTS.items():
        digests = ", ".join(row.sha256) or "none known: needs --trust-weights"
        say(f"{name}  {row.kind}\n  {row.url}\n  sha256 {digests}")
