"""The commands that say which registered version is the champion."""

from collections.abc import Callable
from typing import Annotated

import typer

from flows.cli.console import say
from flows.cli.local import Registry as Where
from storage.errors import RegistryError
from storage.registry import CHAMPION, ModelEntry, Registry, existing, parse_model


def promote(
    model: Annotated[str, typer.Argument(help="NAME/VERSION, as in hcp-registry:NAME/VERSION.")],
    registry: Where = None,
) -> None:
    """Make a registered version the champion, after its checkpoint was checked."""
    name, version = parse_model(model)
    if not name or not version:
        raise RegistryError(f"promote: expected NAME/VERSION, got {model!r}")
    _move(name, registry, lambda models: models.promote(name, version))


def rollback(
    model: Annotated[str, typer.Argument(metavar="NAME", help="The model's name, such as hcp.")],
    registry: Where = None,
) -> None:
    """Make the champion before this one the champion again; repeat it to go further back."""
    name, version = parse_model(model)
    if not name or version not in ("", CHAMPION):
        raise RegistryError(f"rollback: expected NAME, got {model!r}; promote chooses a version")
    _move(name, registry, lambda models: models.rollback(name))


def _move(name: str, registry: str | None, move: Callable[[Registry], ModelEntry]) -> None:
    models = existing(registry)
    before = models.champion(name)
    was = f"version {before.version}" if before else "none"
    say(f"champion of {name}: version {move(models).version} (before: {was})")
