"""The comparison as plain data, and as tables for people."""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.evidence.checklist import shown
from benchmarks.evidence.figures import ATTENTION, KID, MEASURES, Evidence, plain
from benchmarks.evidence.settings import BASE_ARM, EvidenceSettings
from hcp.evaluation.interval import Interval

Row = Mapping[str, Any]

PEOPLE = ("people_score", "pose_as_asked", "pose_distance", "person_found", "count_error")
REST = (KID, ATTENTION, "drift", "identical")


def rows(evidence: Evidence, settings: EvidenceSettings) -> list[dict[str, Any]]:
    """One row for each arm: what trained, its figures, and how they differ from base and LoRA."""
    order = [BASE_ARM, *settings.arms, "drawn", "vae"]
    names = sorted(evidence.arms, key=lambda arm: order.index(arm) if arm in order else len(order))
    return [_row(evidence, settings, name) for name in names]


def _row(evidence: Evidence, settings: EvidenceSettings, name: str) -> dict[str, Any]:
    trained = evidence.fact(name, "losses") is not None
    own = settings.arms.get(name)
    row: dict[str, Any] = {
        "arm": name,
        "note": own.note if own else "",
        "seeds": len(evidence.seeds(name)) if trained else 0,
        "parameters": evidence.fact(name, "parameters"),
        "learning_rate": evidence.fact(name, "learning_rate"),
        "losses": _losses(evidence.facts(name, "losses")) if trained else None,
        "figures": {},
    }
    for measure in MEASURES:
        mean = evidence.mean(name, measure)
        if mean is None:
            continue
        found: dict[str, Any] = {
            "mean": plain(mean), "by_seed": [round(v, 5) for v in evidence.by_seed(name, measure)],
        }  # fmt: skip
        for other in (BASE_ARM, "lora"):
            apart = evidence.difference(name, other, measure) if name != other else None
            found |= {} if apart is None else {f"minus_{other}": plain(apart)}
        row["figures"][measure] = found
    return row


def _losses(by_seed: Sequence[Mapping[str, float]]) -> dict[str, float]:
    names = by_seed[0].keys() if by_seed else ()
    return {name: round(sum(each[name] for each in by_seed) / len(by_seed), 5) for name in names}


def arms_lines(rows: Sequence[Row]) -> list[str]:
    """What was trained, as Markdown."""
    titles = ("arm", "trained parameters", "training seeds", "learning rate",
              "denoising loss, first and last 100 steps")  # fmt: skip
    cells = [
        (
            _name(row),
            f"{row['parameters']:,}" if row["parameters"] else "",
            row["seeds"] or "",
            f"{row['learning_rate']:g}" if row["learning_rate"] else "",
            _loss(row["losses"]),
        )
        for row in rows
        if row["parameters"]
    ]
    return _markdown(titles, cells)


def figures_lines(
    rows: Sequence[Row], names: Sequence[str], *, against: str = BASE_ARM
) -> list[str]:
    """An arm's means, each with its difference to another arm and the interval, as Markdown."""
    names = [name for name in names if any(name in row["figures"] for row in rows)]
    titles = ("arm", *(MEASURES[name].title for name in names))
    cells = [
        (row["arm"], *(_cell(row["figures"].get(name), name, against) for name in names))
        for row in rows
    ]
    return _markdown(titles, cells)


def _markdown(titles: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    lines = [" | ".join(map(str, cells)) for cells in (titles, *rows)]
    return [f"| {lines[0]} |", f"|{'---|' * len(titles)}", *(f"| {line} |" for line in lines[1:])]


def _name(row: Row) -> str:
    return row["arm"] + (f" ({row['note']})" if row["note"] else "")


def _loss(losses: Mapping[str, float] | None) -> str:
    return "" if not losses else f"{losses['denoise_first']:.4f} to {losses['denoise_last']:.4f}"


def _cell(figure: Mapping[str, Any] | None, name: str, against: str) -> str:
    if figure is None:
        return "not measured"
    digits = MEASURES[name].digits
    apart = figure.get(f"minus_{against}")
    mean = f"{figure['mean']['mean']:.{digits}f}"
    return mean if apart is None else f"{mean}; {shown(Interval(**apart), digits)}"
