"""Trains the embedded body judge on drawn people: ``python -m demo.train.bodies --minutes 12``.

It tells sound bodies from faulty ones. What only the renderer's pictures show must not count: see
``demo.train.body_crops`` and the augmentation. ``--without extra_arm`` leaves one kind of fault out
of the training, for the question whether the judge sees faults that it never met.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from demo.embedded import BODIES_DIR, SD_DIR
from demo.train.body_crops import (
    MAP_PX,
    UNASKED,
    WINDOW,
    WINDOW_PX,
    changed_share,
    stored_crops,
)
from demo.train.command import WORK, Budget, Recipe, Run, read_command
from demo.train.loop import Loss, train
from demo.world.augment import View, degrade
from demo.world.faults import FAULTS, render_faulty
from demo.world.scene_store import held_out_seeds, training_seeds
from demo.world.scenes import render_scene
from hcp.evaluation.bodies import BodyConfig, BodyNetwork, as_input, load_bodies, save_bodies
from storage.records import Person

SIZES = BodyConfig(trained_on="drawn people")
SCORE_PX = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyRecipe(Recipe):
    """The body judge's own."""

    without: str = ""  # a kind of fault that training leaves out


RECIPE = BodyRecipe(
    scenes=4000, batch_size=64, peak_learning_rate=2e-3, weight_decay=0.05, second_beta=0.99
)


class BodyTraining:
    """Pairs of crops, intact and faulty: which is which, and where the fault is."""

    def __init__(self, recipe: BodyRecipe, work: Path) -> None:
        if recipe.without and recipe.without not in FAULTS:
            raise ValueError(f"--without: one of {', '.join(FAULTS)}, got {recipe.without!r}")
        self._crops = stored_crops(training_seeds(recipe.scenes), folder=work, vae=SD_DIR / "vae")
        self.rows = np.flatnonzero(self._crops.kinds != recipe.without)
        torch.manual_seed(recipe.seed)
        self.module = BodyNetwork(SIZES).to(memory_format=torch.channels_last)

    def loss(self, rng: np.random.Generator, *, size: int, progress: float) -> Loss:
        """Cross-entropy of soundness and of the fault's place, and of the order of each pair.

        Half of the batch are the other half's twins, under the same light: what differs is the
        fault.
        """
        pairs = size // 2
        rows = rng.choice(self.rows, pairs)
        crops, maps = self._batch(rows, rng)
        sound = torch.from_numpy(self._crops.kinds[rows] == UNASKED).float()
        wanted = torch.cat([torch.ones(pairs), sound])
        with torch.autocast("cpu", torch.bfloat16):
            logits, where = self.module.judged(crops.contiguous(memory_format=torch.channels_last))
        logits, where = logits.float(), where.float()
        entropy = functional.binary_cross_entropy_with_logits
        verdict = entropy(logits, 0.02 + 0.96 * wanted)
        place = entropy(where, maps)
        order = (functional.softplus(logits[pairs:] - logits[:pairs]) * (1 - sound)).mean()
        right = (logits[:pairs] > logits[pairs:])[sound == 0].float().mean()
        figures = {"verdict": verdict, "place": place, "order": order, "right": right}
        return verdict + order + 2.0 * place, {n: float(v.detach()) for n, v in figures.items()}

    def _batch(self, rows: NDArray[np.int64], rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Crops [2 P, 3, S, S], intact ones first, and shares of changed pixels [2 P, h, w]."""
        cells = SIZES.input_px // 2 ** len(SIZES.widths)
        intact: list[NDArray[np.uint8]] = []
        faulty: list[NDArray[np.uint8]] = []
        maps: list[NDArray[np.uint8]] = []
        for row in rows:
            view, light = view_of(rng), int(rng.integers(2**62))
            for found, windows in ((intact, self._crops.intact), (faulty, self._crops.faulty)):
                found.append(degrade(view.apply(windows[row]), np.random.default_rng(light)))
            to_map = MAP_PX / WINDOW_PX
            small = View(view.left_px * to_map, view.top_px * to_map, view.side_px * to_map,
                         cells, view.mirror)  # fmt: skip
            maps.append(small.apply(self._crops.maps[row]))
        changed = torch.from_numpy(np.stack(maps)).float() / 255
        return as_input(intact + faulty), torch.cat([torch.zeros_like(changed), changed])

    def export(self, module: nn.Module, folder: Path) -> None:
        """Half precision, in the format of ``hcp.evaluation.bodies``."""
        network = BodyNetwork(SIZES)
        network.load_state_dict(module.state_dict())
        save_bodies(network, folder, config=SIZES)

    def score(self, folder: Path, n_scenes: int) -> dict[str, float]:
        """Share of held-out pairs, sound against faulty, that soundness ranks right, by kind."""
        judge = load_bodies(folder)

        def soundness(fault: str | None, seed: int) -> tuple[float, bool]:
            scene = sound = render_scene(seed, size_px=SCORE_PX, people=1)
            if fault is not None:
                scene = render_faulty(seed, fault, size_px=SCORE_PX)
            body = Person(bbox_xyxy_px=scene.people[0].bbox_xyxy_px, score=1.0, keypoints=())
            return judge([scene.image], [[body]])[0][0], changed_share(sound, scene, 0) > 0

        intact = [soundness(None, seed)[0] for seed in held_out_seeds(n_scenes)]
        found: dict[str, float] = {"held_out_soundness": float(np.mean(intact))}
        for fault in FAULTS:
            pairs = [
                (ours, *soundness(fault, seed))
                for ours, seed in zip(intact, held_out_seeds(n_scenes), strict=True)
            ]
            found[f"ranked_right_{fault}"] = float(
                np.mean([ours > theirs for ours, theirs, shows in pairs if shows])
            )
        return found


def view_of(rng: np.random.Generator) -> View:
    """A crop of a window as the judge may get it: the box a little off, maybe mirrored."""
    per_side = WINDOW_PX / WINDOW
    side = rng.uniform(1.05, 1.45) * per_side
    middle = WINDOW_PX / 2 + rng.uniform(-0.07, 0.07, size=2) * per_side
    left, top = (float(np.clip(c - side / 2, 0, WINDOW_PX - side)) for c in middle)
    return View(left, top, side, SIZES.input_px, bool(rng.random() < 0.5))


def main(argv: Sequence[str] | None = None) -> None:
    """Command line."""
    run = Run(name="bodies", budget=Budget(minutes=12.0), work=WORK, out=BODIES_DIR)
    recipe, run = read_command(argv, recipe=RECIPE, run=run, about=__doc__)
    training = run.team.first(lambda: BodyTraining(recipe, run.work / "scenes"))
    train(training, recipe, run)


if __name__ == "__main__":
    main()
