"""The commands that say which registered version is the champion."""

from typing import Annotated

import typer

from flows.cli.console import say
from storage.errors import RegistryError
from storage.registry import CHAMPION, Registry, existing, parse_model

Where = Annotated[
    str | None, typer.Option(help="MLflow URI; default MLFLOW_TRACKING_URI, or ./hcp-registry.db.")
]


def promote(
    model: Annotated[str, typer.Argument(help="NAME/VERSION, as in hcp-registry:NAME/VERSION.")],
    registry: Where = None,
) -> None:
    """Make a registered version the champion, after its checkpoint was checked."""
    name, version = parse_model(model)
    if not name or not version:
        raise RegistryError(f"promote: expected NAME/VERSION, got {model!r}")
    models = existing(registry)
    before = _number(models, name)
    _report(name, models.promote(name, version).version, before)


def rollback(
    model: Annotated[str, typer.Argument(metavar="NAME", help="The model's name, such as hcp.")],
    registry: Where = None,
) -> None:
    """Make the champion before this one the champion again; repeat it to go further back."""
    name, version = parse_model(model)
    if not name or version not in ("", CHAMPION):
        raise RegistryError(f"rollback: expected NAME, got {model!r}; promote chooses a version")
    models = existing(registry)
    before = _number(models, name)
    _report(name, models.rollback(name).version, before)


def _number(models: Registry, name: str) -> int | None:
    champion = models.champion(name)
    return None if champion is None else champion.version


def _report(name: str, now: int, before: int | None) -> None:
    was = "none" if before is None else f"version {before}"
    say(f"champion of {name}: version {now} (before: {was})")
