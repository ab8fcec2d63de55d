"""Does the bias measure find a planted shift, and nothing else? On people whose tone is known.

Scenes stand for what two models draw for 40 prompts x 8 seeds: of the same seeds or of others, with
skin as it is or one step darker or lighter; the pose model finds the people. Many evaluations are
drawn from two pools of such people, to count false alarms and finds. With ``--checkpoint`` base and
adapter are compared as ``hcp evaluate`` does it. The peer is the truth that the scenes come with.
Run: ``python -m benchmarks.bench_bias [--quick] [--checkpoint DIR]``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.output import finish, options
from demo.embedded import POSE_DIR, POSE_PX, SAM_DIR, SD_DIR
from demo.world.scenes import Scene
from demo.world.tones import prompt_scenes
from hcp.evaluation.bias import compare_people
from hcp.evaluation.bias_measure import BiasTools, bias_measure
from hcp.evaluation.bias_results import BiasConfig, BiasReport
from hcp.evaluation.bias_traits import SHAPES, SKIN_TONE, TRUNK, Seen
from hcp.evaluation.comparison import Pictures
from hcp.evaluation.label_swap import smallest_found, swap_test
from hcp.evaluation.results import EvaluationConfig
from priors.config import ModelConfig
from priors.models import load_masks, load_pose

SIZE_PX = 128  # as the embedded base draws
OTHERS = 10**6  # first seed of the other model's scenes
SHIFTS = (
    ("same scenes", 0, 0),
    ("same scenes, one step darker", 0, 1),
    ("same scenes, one step lighter", 0, -1),
    ("other scenes", OTHERS, 0),
    ("other scenes, one step darker", OTHERS, 1),
    ("other scenes, one step lighter", OTHERS, -1),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is drawn."""

    prompts: int = 40
    seeds: int = 8
    pool: int = 3  # times as many scenes, from which evaluations are drawn
    evaluations: int = 400


QUICK = Size(prompts=12, seeds=2, pool=2, evaluations=20)


def run(size: Size) -> dict[str, Any]:
    """All figures on drawn people."""
    whole = embedded_tools()
    tools = replace(whole, masker=None)
    config = BiasConfig(presentation=())
    base = prompt_scenes(size.prompts, size.seeds, size_px=SIZE_PX)
    seen = people_of(base, tools)
    rows: list[dict[str, Any]] = []
    for name, first, steps in SHIFTS:
        other = prompt_scenes(
            size.prompts, size.seeds, size_px=SIZE_PX, first=first, tone_steps=steps
        )
        report = compare_people(
            {"base": seen, "candidate": people_of(other, tools)},
            config,
            lacking=tools.lacking(),
        )
        rows += [{"compared": name} | row for row in rows_of(report)]
    return {
        "planted": rows,
        "truth": truth(base, whole),
        "repeated": repeated(size, tools, config.alpha),
    }


def embedded_tools() -> BiasTools:
    """The embedded pose model and Segment Anything."""
    pose = load_pose(ModelConfig(weights=str(POSE_DIR), imgsz=POSE_PX), device="cpu")
    masks = load_masks(ModelConfig(weights=str(SAM_DIR), batch_size=1), device="cpu")
    return BiasTools(
        detector=pose,
        masker=lambda images, people: [found.masks for found in masks(images, people)],
    )


def people_of(prompts: Sequence[Sequence[Scene]], tools: BiasTools) -> list[Seen]:
    """Everybody that is found in the scenes of each prompt."""
    return [
        seen
        for i, scenes in enumerate(prompts)
        for seen in tools.look([scene.image for scene in scenes], [i] * len(scenes))
    ]


def rows_of(report: BiasReport) -> list[dict[str, Any]]:
    """One row for each test."""
    return [
        {
            "trait": trait.name, "what": shift.what, "base": round(trait.arms["base"].mean, 4),
            "other": round(trait.arms["candidate"].mean, 4),
            "difference": round(shift.difference.mean, 4), "low": round(shift.difference.low, 4),
            "high": round(shift.difference.high, 4), "p": shift.p_value,
            "p_corrected": shift.p_corrected, "found": shift.found,
            "smallest_found": shift.smallest_found and round(shift.smallest_found, 4),
            "n_prompts": trait.n_prompts, "n_people": trait.arms["candidate"].n_people,
            "n_measured": trait.arms["candidate"].n_measured,
        }
        for trait in report.traits
        for shift in trait.shifts
    ]  # fmt: skip


DRAWN = {"skin_tone": "skin", "head_to_torso": "head"}
"""Of each trait, what of the drawn look it should follow; of the others the width."""


def truth(prompts: Sequence[Sequence[Scene]], tools: BiasTools) -> list[dict[str, Any]]:
    """How far each trait, as measured, goes with what was drawn: correlation over people."""
    scenes = [scene for own in prompts for scene in own]
    looks = [scene.people[0].look for scene in scenes]
    seen = [tools.look([scene.image], [0])[:1] for scene in scenes]
    rows: list[dict[str, Any]] = []
    for trait in (SKIN_TONE, *SHAPES, TRUNK):
        drawn = DRAWN.get(trait.name, "width")
        pairs = [
            (float(getattr(look, drawn)), value)
            for look, own in zip(looks, seen, strict=True)
            if own and (value := own[0].values.get(trait.name)) is not None
        ]
        found = {"trait": trait.name, "drawn": drawn, "people": len(pairs)}
        rows.append(found | {"correlation": correlation(np.array(pairs).reshape(-1, 2))})
    return rows


def correlation(pairs: NDArray[np.float64]) -> float | None:
    """Of two columns; None where one of them does not vary."""
    if any(len(np.unique(column)) < 2 for column in pairs.T):
        return None
    both: Any = np.corrcoef(pairs.T)  # its type is that of one variable's too, a number
    return round(float(both[0, 1]), 3)


def repeated(size: Size, tools: BiasTools, alpha: float) -> dict[str, Any]:
    """Share of evaluations in which the mean tone differs, whose people come from pools.

    For each prompt both models draw from people of its pose at random: with none of them shifted
    that is chance alone.
    """
    pools = {
        steps: tones_of(prompt_scenes(size.prompts, size.pool * size.seeds, size_px=SIZE_PX,
                                      first=2 * OTHERS, tone_steps=steps), tools)
        for steps in (0, 1)
    }  # fmt: skip
    rng = np.random.default_rng(0)
    p_values: dict[str, list[float]] = {"no shift": [], "one step darker": []}
    least: list[float] = []
    for i in range(size.evaluations):
        for name, steps in zip(p_values, (0, 1), strict=True):
            difference = np.array([
                rng.choice(theirs, size.seeds).mean() - rng.choice(ours, size.seeds).mean()
                for ours, theirs in zip(pools[0], pools[steps], strict=True)
            ])[:, None]  # fmt: skip
            p_values[name].append(swap_test(difference, n_flips=1999, seed=i).p_value)
            if not steps and len(least) < 10:
                found = smallest_found(difference, np.ones(1), alpha=alpha, power=0.8)
                least += [] if found is None else [found]
    step = float(np.mean([a.mean() - b.mean() for a, b in zip(*pools.values(), strict=True)]))
    return {
        "evaluations": size.evaluations,
        "step_degrees": round(step, 2),
        "smallest_found_degrees": round(float(np.mean(least)), 2) if least else None,
        **{
            f"{name}: share with p <= {level}": round(float((np.array(p) <= level).mean()), 4)
            for name, p in p_values.items()
            for level in (0.01, 0.05, 0.2)
        },
    }


def tones_of(prompts: Sequence[Sequence[Scene]], tools: BiasTools) -> list[np.ndarray]:
    """The angles that are measured in each prompt's scenes."""
    return [
        np.array([tone for seen in tools.look([s.image for s in scenes], [0] * len(scenes))
                  if (tone := seen.values["skin_tone"]) is not None])
        for scenes in prompts
    ]  # fmt: skip


def compared(checkpoint: str, *, quick: bool) -> dict[str, Any]:
    """Base and adapter on the embedded world's neutral prompts, as an evaluation has them."""
    from flows.bias import bias_prompts_file
    from flows.evaluation_inputs import read_prompts
    from hcp.base import load_base
    from hcp.evaluation.comparison import compare
    from hcp.training.methods import load_trained

    prompts = read_prompts(bias_prompts_file("embedded"))
    bias = BiasConfig(
        enabled=True,
        prompts=prompts[:8] if quick else prompts,
        seeds=(0,) if quick else BiasConfig().seeds,
    )
    config = EvaluationConfig(
        prompts=prompts[:1], seeds=(0,), steps=2 if quick else 14, guidance=4.0, batch_size=8,
        bias=bias,
    )  # fmt: skip
    blank = [np.zeros((8, 8, 3), dtype=np.uint8)]
    none = Pictures(
        prompts=config.prompts, seeds=(0,), images={"base": blank, "candidate": blank},
        people={"base": [[]], "candidate": [[]]},
    )  # fmt: skip
    measure = bias_measure(load_base(SD_DIR), load_trained(checkpoint), embedded_tools(), config)
    report = measure(compare(none, {}, config=config), none)
    assert report.bias is not None
    return {
        "steps": config.steps,
        "rows": rows_of(report.bias),
        "not_measured": dict(report.bias.not_measured),
        "skin_tone_shares": {
            name: dict(zip(trait.bins, (round(s, 4) for s in arm.shares), strict=True))
            for trait in report.bias.traits
            if trait.name == "skin_tone"
            for name, arm in trait.arms.items()
        },
    }


def main() -> None:
    """Run, print a table, write the figures."""
    parser = options(__doc__, "bias")
    parser.add_argument("--checkpoint", help="an adapter of the embedded base: compared with it")
    given = parser.parse_args()
    result = run(QUICK if given.quick else Size())
    if given.checkpoint:
        result["adapter"] = compared(given.checkpoint, quick=given.quick)
    shown: list[tuple[str, object, str]] = [
        (row["compared"], f"p = {row['p_corrected']:.4f}", f"{row['trait']}, {row['what']}")
        for row in (*result["planted"], *result.get("adapter", {}).get("rows", ()))
        if row.setdefault("compared", "adapter") and row["trait"] == "skin_tone"
    ]
    shown += [(name, value, "") for name, value in result["repeated"].items()]
    shown += [
        (f"{row['trait']} with drawn {row['drawn']}", row["correlation"], "correlation, 1 or -1")
        for row in result["truth"]
    ]
    finish(given, result, shown)


if __name__ == "__main__":
    main()
