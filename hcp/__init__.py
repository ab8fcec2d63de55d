"""The Human-centric Prior method: layer, alignment loss, injection, training, evaluation.

``HcpAdapter`` and ``HcpConfig`` load on first use, so that ``import hcp.tokens`` needs no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hcp.adapter import HcpAdapter
    from hcp.config import HcpConfig

__all__ = ["HcpAdapter", "HcpConfig"]

_HOMES = {"HcpAdapter": "hcp.adapter", "HcpConfig": "hcp.config"}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'hcp' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
