"""A key and files of votes, as a compare page saves them."""

import json
from typing import Any

from hcp.evaluation.compare_key import CompareKey, PairKey

PROMPTS = ("a man running", "a woman dancing", "a boy waving")


def make_key(n: int = 6, *, checks: int = 0) -> CompareKey:
    """Pairs p0, p1, ...: b is first in even ones; then checks c0, ... whose first is intact."""
    pairs = [
        PairKey(id=f"p{i}", prompt=PROMPTS[i % 3], name=f"seed {i // 3}",
                b="second" if i % 2 else "first")
        for i in range(n)
    ]  # fmt: skip
    pairs += [
        PairKey(id=f"c{i}", prompt=PROMPTS[0], name="check", b="first", intact="first")
        for i in range(checks)
    ]
    return CompareKey(page="0123456789ab", question="Which?", a="base", b="ours",
                      pairs=tuple(pairs))  # fmt: skip


def said(key: CompareKey, outcomes: str, *, side: str = "l", repeat: bool = False) -> list[Any]:
    """A vote for each letter on the pairs in their order: a, b, = (tie), ? (cannot say).

    Args:
        side: where the chosen picture was: l or r.
    """
    rows: list[Any] = []
    for pair, outcome in zip(key.pairs, outcomes, strict=False):
        other = "second" if pair.b == "first" else "first"
        chosen = {"a": other, "b": pair.b, "=": "tie", "?": "cannot_say"}[outcome]
        left = chosen if chosen in ("first", "second") else "first"
        if side == "r":
            left = "second" if left == "first" else "first"
        rows.append({"pair": pair.id, "choice": chosen, "left": left, "repeat": repeat, "ms": 2500})
    return rows


def votes_file(votes: Any, *, rater: str = "anna", seed: str = "00000001", **fields: Any) -> bytes:
    """The file of one sitting."""
    whole = {
        "format": "hcp-votes/1", "page": "0123456789ab", "rater": rater, "seed": seed,
        "started": "2026-11-26T10:00:00.000Z", "saved": "2026-11-26T10:09:00.000Z",
        "complete": True, "votes": votes,
    }  # fmt: skip
    return json.dumps(whole | fields).encode()
