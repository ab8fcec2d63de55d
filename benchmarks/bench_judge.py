"""Does the judge see? Drawn pictures of people, intact and corrupted, ranked by every measure.

At least 500 pairs over the eight kinds of ``demo.world.faults``, of held-out scenes at the size
that the embedded base draws: the share of pairs in which a measure ranks the intact picture higher,
with its binomial interval (Wilson, 95 %). A tie is not ranked right; a picture without a number, as
one in which nobody is found, is worse than any with one. Pairs for which a measure is not defined
at all (pose as asked, where the prompt names no action that a pose tells) are left out of its own
figure. Peers: the people score as it was before the body judge, and each part of the score alone;
and all of it again after both pictures went through the embedded base's autoencoder, as everything
does that the base draws. Ceilings are means over the intact pictures. A whole run with the embedded
judges writes the record of what the scores see beside the body judge, for the report.

Run: ``python -m benchmarks.bench_judge [--quick] [--pose DIR] [--bodies DIR]``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from scipy.stats import binomtest

from benchmarks.fault_pairs import Judges, Pair, draw_pairs, drawn_pose_book
from benchmarks.output import finish, options
from demo.embedded import BODIES_DIR, JUDGE_DIR, POSE_PX, SD_DIR
from demo.train.body_crops import RoundTrip
from demo.world.scene_store import HELD_OUT_FIRST_SEED
from hcp.evaluation.bodies import load_bodies, save_seen_faults
from hcp.evaluation.interval import mean_of_known
from hcp.evaluation.results import SeenFaults
from priors.config import ModelConfig
from priors.models import load_pose

ENOUGH, KINDS_WANTED = 0.9, 6
SIZE_PX = 128
BOOK_FIRST_SEED = 3_000_000
FULL = {"pairs_per_kind": 80, "book_photos": 600}
QUICK = {"pairs_per_kind": 4, "book_photos": 120}

Values = Mapping[str, float | None]
Row = dict[str, Any]


def measured(pairs: Sequence[Pair], judges: Judges) -> list[tuple[Values, Values]]:
    """What the judges say of each pair's intact and corrupted picture."""
    prompts = [pair.prompt for pair in pairs]
    return list(
        zip(
            judges.measures([pair.intact for pair in pairs], prompts),
            judges.measures([pair.corrupted for pair in pairs], prompts),
            strict=True,
        )
    )


def ranked(found: Sequence[tuple[Values, Values]], measure: str) -> Row | None:
    """How many of the pairs the measure ranks right; None where it is defined for none."""
    both = [(ours[measure], theirs[measure]) for ours, theirs in found]
    judged = [(a, b) for a, b in both if (a, b) != (None, None)]
    if not judged:
        return None
    right = sum(a is not None and (b is None or a > b) for a, b in judged)
    interval = binomtest(right, len(judged)).proportion_ci(method="wilson")
    return {
        "share": round(right / len(judged), 4),
        "low": round(float(interval.low), 4),
        "high": round(float(interval.high), 4),
        "pairs": len(judged),
    }


def table(pairs: Sequence[Pair], found: Sequence[tuple[Values, Values]]) -> dict[str, Any]:
    """Measure -> kind of fault -> how many pairs it ranks right."""
    kinds = list(dict.fromkeys(pair.kind for pair in pairs))
    shares = {
        measure: {
            kind: ranked([f for f, p in zip(found, pairs, strict=True) if p.kind == kind], measure)
            for kind in kinds
        }
        for measure in found[0][0]
    }
    return {m: {k: row for k, row in rows.items() if row} for m, rows in shares.items()}


def ceilings(found: Sequence[tuple[Values, Values]]) -> dict[str, float | None]:
    """Means over the intact pictures: what a base that draws like this would reach."""
    means = {m: mean_of_known([ours[m] for ours, _ in found]) for m in found[0][0]}
    turned = ("pose_distance", "implausible_limbs")
    return {m: None if v is None else round(-v if m in turned else v, 4) for m, v in means.items()}


def passed(pairs: Sequence[Pair], trip: RoundTrip) -> list[Pair]:
    """The pairs, both pictures through the autoencoder."""
    intact = trip([pair.intact for pair in pairs])
    corrupted = trip([pair.corrupted for pair in pairs])
    return [
        replace(pair, intact=a, corrupted=b)
        for pair, a, b in zip(pairs, intact, corrupted, strict=True)
    ]


def seen_faults(shares: Mapping[str, Mapping[str, Row]], n_pairs: int) -> SeenFaults:
    """The record for the report, of the product's own measures."""
    own = {m: rows for m, rows in shares.items() if m != "before"}
    return SeenFaults(
        world="drawn people",
        pairs=n_pairs,
        enough=ENOUGH,
        shares={m: {k: row["share"] for k, row in rows.items()} for m, rows in own.items()},
    )


def shown(result: Mapping[str, Any]) -> list[tuple[str, object, str]]:
    """The rows on the screen: measures by kinds, with the people score's intervals."""
    rows: list[tuple[str, object, str]] = []
    for name in ("drawn", "through_the_vae"):
        for measure, kinds in result[name].items():
            for kind, row in kinds.items():
                value = f"{row['share']:.2f} ({row['low']:.2f} to {row['high']:.2f})"
                wanted = f">= {ENOUGH}" if measure == "people_score" else ""
                rows.append((f"{name} {measure} {kind}", value, wanted))
        means = result["ceilings"][name].items()
        rows += [(f"ceiling, {name}: {m}", v, "intact pictures") for m, v in means]
    rows.append(("kinds that the people score sees", result["kinds_seen"], f">= {KINDS_WANTED}"))
    return rows


def main() -> None:
    """Run, print a table, write the figures and the record."""
    parser = options(__doc__, "judge")
    parser.add_argument("--pose", type=Path, default=JUDGE_DIR, help="the pose model that judges")
    parser.add_argument("--bodies", type=Path, default=BODIES_DIR, help="the body judge")
    parser.add_argument("--first-seed", type=int, default=HELD_OUT_FIRST_SEED, help="of the scenes")
    given = parser.parse_args()
    settings = QUICK if given.quick else FULL
    detector = load_pose(ModelConfig(weights=str(given.pose), imgsz=POSE_PX), device="cpu")
    judges = Judges(
        detector=detector,
        bodies=load_bodies(given.bodies),
        poses=drawn_pose_book(detector, count=settings["book_photos"], first_seed=BOOK_FIRST_SEED),
    )
    pairs = draw_pairs(settings["pairs_per_kind"], first_seed=given.first_seed, size_px=SIZE_PX)
    drawn = measured(pairs, judges)
    through = measured(passed(pairs, RoundTrip(SD_DIR / "vae")), judges)
    shares = table(pairs, drawn)
    result = {
        "settings": settings | {"size_px": SIZE_PX, "first_seed": given.first_seed},
        "judges": {"pose": str(given.pose.name), "bodies": str(given.bodies.name)},
        "pairs": len(pairs),
        "kinds_seen": sum(row["share"] >= ENOUGH for row in shares["people_score"].values()),
        "drawn": shares,
        "through_the_vae": table(pairs, through),
        "ceilings": {"drawn": ceilings(drawn), "through_the_vae": ceilings(through)},
    }
    finish(given, result, shown(result))
    if not given.quick and given.out is None:
        save_seen_faults(seen_faults(shares, len(pairs)), given.bodies)


if __name__ == "__main__":
    main()
