"""Where this program keeps what it can make or fetch again."""

import os
from pathlib import Path


def cache_folder(name: str = "") -> Path:
    """The folder of one cache in ``$HCP_CACHE``, ``$XDG_CACHE_HOME/hcp`` or ``~/.cache/hcp``."""
    own, shared = os.environ.get("HCP_CACHE"), os.environ.get("XDG_CACHE_HOME")
    base = Path(own) if own else Path(shared or "~/.cache") / "hcp"
    return base.expanduser() / name
