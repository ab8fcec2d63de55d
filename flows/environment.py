"""Environment variables that begin with ``HCP_``: the settings, and what else reads one."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches

PREFIX = "HCP_"
OTHERS = frozenset(
    {
        "HCP_ASSETS", "HCP_BUILDER", "HCP_CACHE", "HCP_CHROMIUM", "HCP_HOME", "HCP_IMAGE",
        "HCP_IMAGE_VARIANT", "HCP_LOG_SINK", "HCP_MLFLOW_DATABASE", "HCP_PHOTOS",
        "HCP_REPORTS", "HCP_RUNS", "HCP_SHM_SIZE", "HCP_SMTP", "HCP_VARIANT",
    }
)  # fmt: skip
"""No settings of a flow: places of the stack, of images and of tests."""
_HASHICORP = tuple(
    f"{PREFIX}{name}_"
    for name in ("API", "AUTH", "CLIENT", "CRED", "ORGANIZATION", "PACKER", "PORTAL", "PROJECT",
                 "SCADA", "VAULT")
)  # fmt: skip
"""The cloud of HashiCorp has the same three letters."""


def variable_of(path: tuple[str, ...]) -> str:
    """The variable of a setting: two underscores between the levels."""
    return PREFIX + "__".join(path).upper()


def unknown(environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Each variable that nothing reads, with a sentence that says what to do."""
    strange = [
        name
        for name in sorted(environment)
        if name.startswith(PREFIX) and name not in OTHERS and not name.startswith(_HASHICORP)
    ]
    if not strange:
        return
    from flows.kinds import (
        setting_paths,  # pydantic's classes: only where there is something to say
    )

    # Of every flow: a variable may be meant for another one than runs now.
    known = {variable_of(path) for path in setting_paths()} | OTHERS
    for name in strange:
        if name not in known:
            near = get_close_matches(name.upper(), known, n=1, cutoff=0.8)
            help_ = f"did you mean {near[0]}?" if near else "unset it, or see docs/configuration.md"
            yield name, f"nothing reads it; {help_}"
