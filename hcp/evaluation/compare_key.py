"""The key of a compare page: which picture of each pair is whose. The organiser keeps it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from storage.errors import HcpError

Place = Literal["first", "second"]
"""Of a picture in the page's file; where it is shown is drawn for each rater."""
PLACES: tuple[Place, Place] = ("first", "second")
KEY_FORMAT = "hcp-compare-key/1"
VOTES_FORMAT = "hcp-votes/1"


class VotesError(HcpError):
    """A key or a file of votes cannot be used; the message says what it is instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairKey:
    """One pair of the page: what was drawn, and which place holds b's picture."""

    id: str  # all that the page and the votes say of it
    prompt: str
    name: str  # where the pictures come from: "seed 3", or their file's name
    b: Place
    intact: Place | None = None  # of an attention check: both are b's, the other is scrambled


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareKey:
    """Everything that turns a page's votes into votes for a or b."""

    page: str  # id: of what the page shows
    question: str
    a: str  # names of the two that are compared
    b: str
    pairs: tuple[PairKey, ...]

    def to_json(self) -> str:
        """As the key's file holds it."""
        return json.dumps({"format": KEY_FORMAT} | asdict(self), indent=1, ensure_ascii=False)


def read_key(data: bytes, name: str) -> CompareKey:
    """The key in a file's bytes; ``name`` is the file's, for the message.

    Raises:
        VotesError: it is no key of a compare page.
    """
    found = json_object(data, name)
    if found.get("format") != KEY_FORMAT:
        raise VotesError(
            f"{name}: expected the key that `hcp compare-page` wrote beside its page "
            f"(format {KEY_FORMAT}), got {_kind(found)}"
        )
    try:
        texts = {field: str(found[field]) for field in ("page", "question", "a", "b")}
        return CompareKey(pairs=tuple(_pair(row) for row in found["pairs"]), **texts)
    except (KeyError, TypeError, ValueError) as error:
        raise VotesError(f"{name}: the key is damaged: {type(error).__name__} {error}") from error


def json_object(data: bytes, name: str) -> Mapping[str, Any]:
    """The JSON object in a file's bytes.

    Raises:
        VotesError: it holds something else.
    """
    try:
        found: Any = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        what = "an empty file" if not data.strip() else f"what is not JSON ({error})"
        raise VotesError(f"{name}: expected a JSON file, got {what}") from error
    if not isinstance(found, dict):
        raise VotesError(f"{name}: expected a JSON object, got {type(found).__name__}")
    return found


def check_votes_format(found: Mapping[str, Any], name: str) -> None:
    """See that an object calls itself votes.

    Raises:
        VotesError: it does not.
    """
    if found.get("format") != VOTES_FORMAT:
        raise VotesError(
            f"{name}: expected votes that a compare page saved (format {VOTES_FORMAT}), "
            f"got {_kind(found)}"
        )


def _kind(found: Mapping[str, Any]) -> str:
    known = {KEY_FORMAT: "a page's key", VOTES_FORMAT: "votes"}
    kind = found.get("format")
    return known.get(str(kind), f"format {kind!r}" if kind is not None else "another JSON file")


def _pair(row: Mapping[str, Any]) -> PairKey:
    b, intact = row["b"], row.get("intact")
    if b not in PLACES or intact not in (*PLACES, None):
        raise ValueError(f"pair {row['id']!r}: expected a place of {PLACES}, got {b!r}, {intact!r}")
    return PairKey(
        id=str(row["id"]), prompt=str(row["prompt"]), name=str(row["name"]), b=b, intact=intact
    )
