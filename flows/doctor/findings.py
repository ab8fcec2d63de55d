"""What one check of ``hcp doctor`` found."""

from typing import Literal, TypedDict

State = Literal["ok", "note", "bad"]


class Finding(TypedDict):
    """One row: ``note`` is worth to know, ``bad`` ends the command with exit code 1."""

    what: str
    state: State
    found: str
    do: str  # empty where nothing is to be done


def ok(what: str, found: str) -> Finding:
    """All is well."""
    return Finding(what=what, state="ok", found=found, do="")


def note(what: str, found: str, do: str = "") -> Finding:
    """Worth to know, and maybe meant so."""
    return Finding(what=what, state="note", found=found, do=do)


def bad(what: str, found: str, do: str) -> Finding:
    """Wrong, with what to do about it."""
    return Finding(what=what, state="bad", found=found, do=do)
