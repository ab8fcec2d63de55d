"""How right and how fast the human token extractor is.

Precision, recall and F1 over words on the labelled captions (``tests/data``), with a bootstrap
interval over captions; captions per second on one core. A span counts where its characters are the
labelled ones; per kind, the kind has to agree as well. Run: ``python -m benchmarks.bench_tokens
[--captions FILE] [--out FILE]``, FILE with one caption a line.
"""

import json
import random
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.output import ROOT, finish, options
from hcp.tokens import SPAN_KINDS, human_spans
from storage.records import SpanKind

LABELLED = ROOT / "tests" / "data" / "human_spans.jsonl"
RESAMPLES = 1000

SpanSet = frozenset[tuple[int, int, str]]


class Labelled(NamedTuple):
    """One caption with the spans that are right and those that were found."""

    split: str
    caption: str
    expected: SpanSet
    found: SpanSet


def read_labelled(path: Path) -> list[Labelled]:
    """Read the labelled captions and run the extractor on them."""
    rows: list[Labelled] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        expected = frozenset((span["start"], span["end"], span["kind"]) for span in row["spans"])
        found = frozenset((s.start, s.end, s.kind) for s in human_spans(row["caption"]))
        rows.append(Labelled(row["split"], row["caption"], expected, found))
    return rows


def counts(row: Labelled, kind: SpanKind | None) -> tuple[int, int, int]:
    """Return right, found and expected spans of a caption; of any kind where it is None."""
    both = (row.found, row.expected)
    found, expected = ({s[:2] for s in spans if kind in (None, s[2])} for spans in both)
    return len(found & expected), len(found), len(expected)


def scores(rows: Sequence[Labelled], kind: SpanKind | None = None) -> dict[str, float]:
    """Return precision, recall and F1 in [0, 1] and the number of expected words."""
    table = [counts(row, kind) for row in rows]
    right, found, expected = (sum(column) for column in zip(*table, strict=True))
    return {
        "precision": round(right / max(found, 1), 4),
        "recall": round(right / max(expected, 1), 4),
        "f1": round(2 * right / max(found + expected, 1), 4),
        "expected_words": expected,
    }


def intervals(rows: Sequence[Labelled]) -> dict[str, list[float]]:
    """Return 95 % bootstrap intervals of precision, recall and F1 over captions."""
    rng = random.Random(0)
    drawn = [scores(rng.choices(rows, k=len(rows))) for _ in range(RESAMPLES)]
    low, high = int(0.025 * RESAMPLES), int(0.975 * RESAMPLES)
    return {
        name: [sorted(draw[name] for draw in drawn)[rank] for rank in (low, high)]
        for name in ("precision", "recall", "f1")
    }


def quality(rows: Sequence[Labelled]) -> dict[str, object]:
    """Return one split's scores over all words and by kind."""
    exact = sum(row.expected == row.found for row in rows)
    by_kind: Mapping[str, object] = {kind: scores(rows, kind) for kind in SPAN_KINDS}
    return {
        "captions": len(rows),
        "all": scores(rows),
        "interval_95": intervals(rows),
        "by_kind": by_kind,
        "captions_exactly_right": round(exact / len(rows), 4),
    }


def captions_per_s(captions: Sequence[str], *, rounds: int) -> dict[str, float]:
    """Return the speed on one core: processor time, first (cold) round and median of the others."""
    speeds: list[float] = []
    for _ in range(rounds + 1):
        start = time.process_time()
        for caption in captions:
            human_spans(caption)
        speeds.append(len(captions) / (time.process_time() - start))
    return {
        "captions": len(captions),
        "cold_captions_per_s": round(speeds[0]),
        "median_captions_per_s": round(statistics.median(speeds[1:])),
        "max_captions_per_s": round(max(speeds)),
    }


def main() -> None:
    parser = options(__doc__, "tokens")
    parser.add_argument(
        "--captions", type=Path, help="text file, one caption a line, for the speed"
    )
    given = parser.parse_args()
    lines: list[str] = []
    if given.captions is not None:
        lines = [line for line in given.captions.read_text(encoding="utf-8").splitlines() if line]
    labelled = read_labelled(LABELLED)
    rounds = 1 if given.quick else 5
    speed = captions_per_s(lines or [row.caption for row in labelled] * 20, rounds=rounds)
    result: dict[str, Any] = {
        "speed_one_core": speed,
        "dev": quality([row for row in labelled if row.split == "dev"]),
        "test": quality([row for row in labelled if row.split == "test"]),
    }
    test: Any = result["test"]["all"]
    rows = [
        ("precision, untouched split", test["precision"], ">= 0.95"),
        ("recall, untouched split", test["recall"], ">= 0.95"),
        ("captions/s, one core", speed["median_captions_per_s"], ">= 20,000"),
    ]
    finish(given, result, rows)


if __name__ == "__main__":
    main()
