"""Trains the embedded judge of poses: ``python -m demo.train.judge --minutes 16``.

A judge must not be the model that made the priors: it would share the teacher's mistakes. This one
has another seed, other scenes and another layout (the blocks of YOLO11, with attention in the
deepest stage, in place of those of YOLOv8), and a third of its scenes went through the embedded
autoencoder, as what it judges is decoded by one.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from PIL import Image

from demo.embedded import JUDGE_DIR, POSE_DIR, POSE_PX, SD_DIR
from demo.train.command import WORK, Budget, Recipe, Run, read_command
from demo.train.loop import train
from demo.train.pose import RECIPE as TEACHER_RECIPE
from demo.train.pose import PoseTraining
from demo.train.scoring import keypoint_error_px, oks_average_precision
from demo.world.scene_store import DrawnScenes, held_out_seeds, stored_scenes
from priors.config import ModelConfig
from priors.models import load_pose
from priors.yolo import CONFIG_FILE

RECIPE = replace(TEACHER_RECIPE, seed=14, scenes=6000)
FIRST_SEED = 4_000_000
"""Of the judge's scenes: far from those of the teacher and from the held-out ones."""
SOFT_EVERY = 3
"""One scene in so many goes through the autoencoder."""
GENERATED_PX = 128
N_HELD_OUT = 200


@torch.inference_mode()
def round_trip(images: NDArray[np.uint8], vae: Any) -> NDArray[np.uint8]:
    """Pictures [N, S, S, 3] as the embedded pipeline would draw them: coded, decoded, enlarged."""
    side = images.shape[1]
    small = [np.asarray(Image.fromarray(i).resize((GENERATED_PX, GENERATED_PX))) for i in images]
    pixels = torch.from_numpy(np.stack(small)).permute(0, 3, 1, 2).float() / 127.5 - 1
    decoded = vae.decode(vae.encode(pixels).latent_dist.mean).sample
    back = ((decoded.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    bilinear = Image.Resampling.BILINEAR
    return np.stack([np.asarray(Image.fromarray(i).resize((side, side), bilinear)) for i in back])


def softened(scenes: DrawnScenes, *, every: int) -> DrawnScenes:
    """The scenes with every ``every``-th picture after its round trip."""
    vae = AutoencoderKL.from_pretrained(SD_DIR / "vae").float().eval()
    images = np.array(scenes.images)
    rows = np.arange(0, len(images), every)
    for part in np.array_split(rows, max(1, len(rows) // 20)):
        images[part] = round_trip(images[part], vae)
    return replace(scenes, images=images)


def stored_softened(seeds: range, *, folder: Path) -> DrawnScenes:
    """The judge's scenes, every ``SOFT_EVERY``-th after its round trip; made once."""
    scenes = stored_scenes(seeds, folder=folder)
    path = folder / f"soft-{seeds.start}-{len(seeds)}-{SOFT_EVERY}.npy"
    if not path.is_file():
        np.save(path.with_suffix(".part.npy"), softened(scenes, every=SOFT_EVERY).images)
        path.with_suffix(".part.npy").replace(path)
    return replace(scenes, images=np.load(path, mmap_mode="r"))


def figures(folder: Path, scenes: DrawnScenes, *, name: str) -> dict[str, float]:
    """OKS AP and mean keypoint error of a pose model at the size the demo judges at."""
    model = load_pose(ModelConfig(weights=str(folder), imgsz=POSE_PX), device="cpu")
    found = model(list(scenes.images))
    error = keypoint_error_px(scenes, found)
    ap = {f"{name}_oks_ap": round(oks_average_precision(scenes, found), 4)}
    return ap if math.isnan(error) else ap | {f"{name}_keypoint_error_px": round(error, 3)}


def held_out_figures(folder: Path, n_scenes: int, *, work: Path) -> dict[str, float]:
    """Both figures on held-out scenes, and on the same through the autoencoder (``soft``).

    In pixels of pictures of 256 px.
    """
    scenes = stored_scenes(held_out_seeds(n_scenes), folder=work)
    soft = softened(scenes, every=1)
    return figures(folder, scenes, name="held_out") | figures(folder, soft, name="held_out_soft")


class JudgeTraining(PoseTraining):
    """As the teacher's, on other scenes and by another layout; scored on soft pictures as well."""

    def __init__(self, recipe: Recipe, work: Path) -> None:
        scenes = stored_softened(range(FIRST_SEED, FIRST_SEED + recipe.scenes), folder=work)
        super().__init__(recipe, work, layout=JUDGE_DIR / CONFIG_FILE, scenes=scenes)

    def score(self, folder: Path, n_scenes: int) -> dict[str, float]:
        """See ``held_out_figures``."""
        return held_out_figures(folder, n_scenes, work=self._work)


def main(argv: Sequence[str] | None = None) -> None:
    """Command line; the record beside the weights has the teacher's figures on the same scenes."""
    run = Run(name="judge", budget=Budget(minutes=16.0), work=WORK, out=JUDGE_DIR)
    recipe, run = read_command(argv, recipe=RECIPE, run=run, about=__doc__)
    work = run.work / "scenes"
    record = train(run.team.first(lambda: JudgeTraining(recipe, work)), recipe, run)
    if run.team.rank == 0:
        record = record | {"teacher": held_out_figures(POSE_DIR, N_HELD_OUT, work=work)}
        (run.out / "TRAINING.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
