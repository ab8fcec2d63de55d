"""What a shell offers behind an option: the values that the settings know.

Loaded when a shell asks (``hcp --install-completion``), so each imports what it needs itself.
"""

from collections.abc import Callable
from pathlib import Path

FIXED = {
    "device": ("auto", "cpu", "cuda"),
    "format": ("auto", "folder", "table", "webdataset", "coco"),
    "duplicates": ("keep", "exact", "perceptual"),
    "cache": ("off", "auto", "required"),
}
"""Values of the settings of these names; a test holds them against the settings' types."""
PRESETS = Path(__file__).parents[1] / "presets"


def presets() -> list[str]:
    """Names for ``--preset``."""
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))


def reasons() -> list[str]:
    """Reject reasons for ``--reason``."""
    from storage.records import REJECT_REASONS

    return list(REJECT_REASONS)


def methods() -> list[str]:
    """Methods of training for ``--method``, alone and with one suffix."""
    from hcp.training.methods.names import VARIANTS

    return [name for method, ends in VARIANTS.items()
            for name in (method, *(f"{method}+{end}" for end in ends))]  # fmt: skip


def states() -> list[str]:
    """States of a flow run for ``--state``."""
    from flows.run_list import STATES

    return list(STATES)


def fixed(option: str) -> Callable[[], list[str]]:
    """What offers the values of an option that has a fixed list of them."""
    return lambda: list(FIXED[option])
