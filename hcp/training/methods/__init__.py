"""The methods that one training loop can run: what trains, what is lost, what is saved.

Names load on first use, so that settings need no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hcp.training.methods.protocol import Method, Terms
    from hcp.training.methods.table import make_method
    from hcp.training.methods.trained import Trained, load_trained

__all__ = ["Method", "Terms", "Trained", "load_trained", "make_method"]

_HOMES = {
    "Method": "protocol", "Terms": "protocol", "make_method": "table",
    "Trained": "trained", "load_trained": "trained",
}  # fmt: skip


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'hcp.training.methods' has no attribute {name!r}")
    return getattr(import_module(f"hcp.training.methods.{_HOMES[name]}"), name)
