"""From files and options to a flow's parameters."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel

from flows.cli.console import fail

P = TypeVar("P", bound=BaseModel)


def load_params(
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
            fail(f"--config {config}: not a readable YAML file: {error}")
        if not isinstance(loaded, dict):
            fail(f"--config {config}: expected a mapping of parameters, got {loaded!r:.80}")
        fields.update(loaded)
    fields.update({name: value for name, value in given.items() if value is not None})
    return kind.model_validate(fields)
