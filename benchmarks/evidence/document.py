"""Writes the figures of ``benchmarks/results`` into ``docs/evidence.md``.

No figure on that page is typed by hand: what stands between ``<!-- figures: NAME -->`` and
``<!-- end -->`` comes from the files in ``benchmarks/results``.
Run: ``python -m benchmarks.evidence.document``.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.evidence.checklist import Check
from benchmarks.evidence.table import PEOPLE, REST, arms_lines, figures_lines
from benchmarks.output import RESULTS, ROOT

PAGE = ROOT / "docs" / "evidence.md"
FIGURES = RESULTS / "evidence.json"
OTHERS = {"ablation": RESULTS / "ablation.json", "rates": RESULTS / "evidence-rates.json"}
_BLOCK = re.compile(r"(<!-- figures: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)

MIN_PROMPTS, MIN_SEEDS = 200, 3
TRIAL = "**A trial of the harness at a small size: these figures are not yet the comparison.** "

Result = Mapping[str, Any]


def filled(page: str, result: Result) -> str:
    """The page with every block made anew.

    Raises:
        ValueError: a block of an unknown name.
    """

    def block(found: re.Match[str]) -> str:
        if found[2] not in BLOCKS:
            raise ValueError(f"{PAGE}: no figures {found[2]!r}; there are {', '.join(BLOCKS)}")
        return f"{found[1]}{BLOCKS[found[2]](result)}\n{found[3]}"

    return _BLOCK.sub(block, page)


def _size(result: Result) -> str:
    said, training = result["settings"], result["settings"]["training"]
    environment = result["environment"]
    libraries = ("torch", "diffusers")
    versions = ", ".join(f"{name} {environment['versions'][name]}" for name in libraries)
    is_trial = said["prompts"] < MIN_PROMPTS or said["seeds"] < MIN_SEEDS
    return (TRIAL if is_trial else "") + (
        f"Base `{said['base']}` ({said['base_digest']}), {training['steps']} steps of batch "
        f"{training['batch_size']}, {said['seeds']} training seeds. "
        f"{said['prompts']} prompts with people and {said['others']} without, "
        f"{said['prompts_from']}; one picture each, {said['drawing']['steps']} sampling steps, "
        f"guidance {said['drawing']['guidance']}. Judge `{said['judge']}` "
        f"({said['judge_digest']}). {said['judge_standing']} "
        f"{environment['cores']} cores, {versions}."
    )


def _checks(result: Result) -> str:
    lines = ["| | number | target | found |", "|---|---|---|---|"]
    for each in result["checks"]:
        check = Check.from_json(each)
        lines.append(f"| {check.state} | {check.what} | {check.target} | {check.value} |")
    return "\n".join(lines)


def _tuning(result: Result) -> str:
    tuning: Mapping[str, Mapping[str, float]] = result["rates"]["tuning"]
    rates = sorted({rate for found in tuning.values() for rate in found}, key=float)
    lines = [f"| arm | {' | '.join(rates)} |", f"|{'---|' * (1 + len(rates))}"]
    for arm, found in tuning.items():
        best = max(found.values())
        cells = [f"**{found[r]:.3f}**" if found.get(r) == best else
                 f"{found[r]:.3f}" if r in found else "" for r in rates]  # fmt: skip
        lines.append(f"| {arm} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _best(result: Result) -> str:
    """The arms at the best of their rates."""
    return "\n".join(figures_lines(result["rates"]["rows"], (*PEOPLE, *REST[:2])))


def _missing(result: Result) -> str:
    why = {**result["not_measured"], **result["left_out"]}
    said = [f"- {name}: {reason}" for name, reason in why.items()]
    return "\n".join(said or ["Everything was measured."])


ABLATED = ("people score", "pose as asked", "attention inside people")


def _ablation(result: Result) -> str:
    found = result["ablation"]
    said = found["settings"]
    lines = [
        f"{said['steps']} steps on {said['photos']:,} photos, {said['prompts']} prompts "
        f"({said['prompts_from']}), {said['training_seeds']} training seed. The same as the "
        f"default: {', '.join(found['same_as_default']) or 'none'}. Not run: "
        f"{', '.join(found['left_out']) or 'none'}.",
        "",
        f"| question | variant | {' | '.join(f'{name}, to default' for name in ABLATED)} "
        "| KID x 1000 | MB in float16 |",
        f"|{'---|' * (4 + len(ABLATED))}",
    ]
    for question, table in found["questions"].items():
        for row in table:
            cells = [str(row.get(f"{name}, to default", "-")) for name in ABLATED]
            if row["variant"] == "default":
                cells = [f"({row.get(name, '-')})" for name in ABLATED]
            kid = row.get("KID")
            shown = "-" if kid is None else f"{1000 * kid:.1f}"
            ends = [shown, str(row["MB in float16"])]
            lines.append(f"| {question} | {row['variant']} | {' | '.join([*cells, *ends])} |")
    return "\n".join(lines)


BLOCKS: Mapping[str, Callable[[Result], str]] = {
    "size": _size,
    "arms": lambda result: "\n".join(arms_lines(result["rows"])),
    "people": lambda result: "\n".join(figures_lines(result["rows"], PEOPLE)),
    "rest": lambda result: "\n".join(figures_lines(result["rows"], REST)),
    "lora": lambda result: "\n".join(
        figures_lines(result["rows"], (*PEOPLE, *REST[:2]), against="lora")
    ),
    "missing": _missing,
    "checks": _checks,
    "tuning": _tuning,
    "best": _best,
    "ablation": _ablation,
}
"""By the name that the page gives them."""


def figures() -> Result:
    """All that the page shows: of the comparison, and what belongs to it below names of its own."""
    result = json.loads(FIGURES.read_text(encoding="utf-8"))
    others = {name: json.loads(path.read_text(encoding="utf-8")) for name, path in OTHERS.items()}
    return {**result, **others}


def main() -> None:
    """Write the page."""
    result = figures()
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), result), encoding="utf-8")


if __name__ == "__main__":
    main()
