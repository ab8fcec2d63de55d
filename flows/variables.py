"""Prefect variables in parameters: ``variable:hcp_root`` is read when a run starts.

Prefect's own notations are filled in when a deployment is made (``{{ prefect.variables.x }}``) or
edited (``__prefect_kind``), and left as they are in scheduled runs (Prefect 3.8); both freeze what
was meant to change. They are understood all the same, in a run that still has them.
"""

import os
import re
from collections.abc import Callable, Mapping
from typing import Any

_WHOLE = re.compile(r"variable:([A-Za-z0-9_-]+)([/@].*)?", re.DOTALL)
_TEMPLATE = re.compile(r"\{\{\s*prefect\.variables\.([A-Za-z0-9_-]+)\s*\}\}")
_KIND, _NAME = "__prefect_kind", "variable_name"


def filled(data: Any, read: Callable[[str], Any] | None = None) -> Any:
    """The same data with the values of the variables that it names, wherever they stand.

    ``variable:NAME`` is the variable's value, of any type; ``variable:NAME/below`` and
    ``variable:NAME@VERSION`` add to a text.

    Args:
        data: parameters as a person, a file or a deployment gives them.
        read: a variable's value by its name, None where there is none; by default the server's.
    Raises:
        ValueError: names a variable that is not set, and says how to set it.
    """
    read = read or server_value
    if isinstance(data, str):
        return _text(data, read)
    if isinstance(data, Mapping):
        if data.get(_KIND) == "workspace_variable" and _NAME in data:
            return _value(str(data[_NAME]), read)
        return {name: filled(value, read) for name, value in data.items()}
    if isinstance(data, list | tuple):
        return type(data)(filled(value, read) for value in data)  # pyright: ignore[reportCallIssue]
    return data


def server_value(name: str) -> Any:
    """A variable's value on the Prefect server, None where it has none.

    Raises:
        ValueError: no server is named: one that Prefect would start has no variables.
    """
    from prefect.settings import PREFECT_API_URL
    from prefect.variables import Variable

    if not (PREFECT_API_URL.value() or os.environ.get("PREFECT_API_URL")):
        raise ValueError(
            f"variable:{name} is kept by a Prefect server, but PREFECT_API_URL names none; set it, "
            "or give the value itself"
        )
    value: Any = Variable.get(name)
    return value


def _text(text: str, read: Callable[[str], Any]) -> Any:
    whole = _WHOLE.fullmatch(text)
    if whole is None:
        return _TEMPLATE.sub(lambda found: str(_value(found[1], read)), text)
    value, rest = _value(whole[1], read), whole[2]
    return value if rest is None else f"{value}{rest}"


def _value(name: str, read: Callable[[str], Any]) -> Any:
    value = read(name)
    if value is None or value == "":
        raise ValueError(
            f"the Prefect variable {name} is {'not set' if value is None else 'empty'}: "
            f"`prefect variable set {name} VALUE --overwrite`, `hcp provision` with its option, "
            "or the page Variables of the UI; or give the value itself in the run's parameters"
        )
    return value
