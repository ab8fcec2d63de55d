"""A command in this process, over the Ray and the server that the tests have, with its output."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from flows.cli.app import app


def plain(params: BaseModel) -> dict[str, Any]:
    """What of the parameters was given, as a file has it."""
    return params.model_dump(mode="json", exclude_unset=True)


def json_of(
    capfd: pytest.CaptureFixture[str], name: str, fields: dict[str, Any], folder: Path, *more: str
) -> dict[str, Any]:
    """What a flow's command with ``--json`` says on stdout, which is one document and no more.

    Args:
        capfd: takes what the process and those that it starts write.
        name: of the command.
        fields: its parameters, for ``--config``.
        folder: where that file is written.
        more: options.
    """
    config = folder / f"{name}.yaml"
    config.write_text(yaml.safe_dump(fields))
    capfd.readouterr()
    app([name, "--config", str(config), "--json", *more], standalone_mode=False)
    said = capfd.readouterr()
    assert said.out.startswith("{\n")
    assert said.out.endswith("\n}\n")
    return json.loads(said.out)
