"""Draw the pictures of docs/method.md with our own code, from the embedded world.

    python -m docs.method_pictures [--checkpoint DIR]

Without a checkpoint the attention sheet shows the frozen maps alone.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from demo.embedded import SD_DIR
from demo.world.scenes import Scene, render_scene
from hcp import HcpAdapter
from hcp.base import load_base
from hcp.evaluation.generation import record_picture
from hcp.losses import stage_weight
from hcp.pages.figures import heat_overlay
from hcp.pages.map_sheet import SheetConfig, map_sheet
from hcp.pose_image import draw_pose
from hcp.targets import heatmap_target, mask_target

FOLDER = Path(__file__).parent / "pictures"
TILE_PX = 160
GAP_PX = 4
SCENE_SEED = 12
PROMPT = "a woman jumping on a beach"
Image8 = NDArray[np.uint8]


def priors_picture(scene: Scene) -> Image8:
    """A photo, its key pose image, and heat-map and mask targets at two map sizes."""
    height, width = scene.image.shape[:2]
    people = [person.keypoints for person in scene.people]
    points = torch.tensor(people, dtype=torch.float32)[None]
    masks = torch.from_numpy(np.any([person.mask for person in scene.people], axis=0))[None]
    tiles = [scene.image, draw_pose(people, width_px=width, height_px=height)]
    for side in (16, 8):
        size = (side, side)
        heat = heatmap_target(points, image_size=(height, width), map_size=size)
        cover = mask_target(masks, map_size=size)
        tiles += [heat_overlay(scene.image, each[0].numpy()) for each in (heat, cover)]
    return beside(tiles)


def schedule_picture() -> Image8:
    """lambda(t) of the default table: mid (dark) early, up (orange) late; noise is on the right."""
    side, margin = 260, 24
    canvas = Image.new("RGB", (side + 2 * margin, side // 2 + 2 * margin), "white")
    draw = ImageDraw.Draw(canvas)
    t = torch.arange(1000)
    box = (margin, margin, margin + side, margin + side // 2)
    draw.rectangle(box, outline=(190, 190, 190))
    for kind, colour in (("early", (101, 21, 110)), ("late", (238, 105, 37))):
        weights = stage_weight(kind, t, 1000).tolist()
        line = [(margin + side * i / 1000, box[3] - side / 2 * w) for i, w in enumerate(weights)]
        draw.line(line, fill=colour, width=3)
    draw.text((margin, box[3] + 4), "t = 0", fill="black")
    draw.text((box[2] - 16, box[3] + 4), "T", fill="black")
    draw.text((margin + 6, margin + 4), "up: cos", fill=(238, 105, 37))
    draw.text((box[2] - 50, margin + 4), "mid: sin", fill=(101, 21, 110))
    return np.asarray(canvas)


def maps_picture(checkpoint: str | None) -> Image8:
    """The attention of a prompt's human words while the embedded base draws it."""
    adapter = HcpAdapter.from_pretrained(checkpoint) if checkpoint else None
    drawn = record_picture(load_base(SD_DIR), PROMPT, seed=1, steps=20, adapter=adapter)
    return map_sheet(drawn, config=SheetConfig(tile_px=112))


def beside(tiles: list[Image8]) -> Image8:
    """Tiles in one row."""
    step = TILE_PX + GAP_PX
    row = Image.new("RGB", (step * len(tiles) - GAP_PX, TILE_PX), "white")
    for i, tile in enumerate(tiles):
        row.paste(Image.fromarray(tile).resize((TILE_PX, TILE_PX)), (i * step, 0))
    return np.asarray(row)


def main() -> None:
    """Write all pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", help="an adapter of the embedded base")
    options = parser.parse_args()
    pictures = {
        "priors.png": priors_picture(render_scene(SCENE_SEED, people=2)),
        "schedule.png": schedule_picture(),
        "maps.png": maps_picture(options.checkpoint),
    }
    FOLDER.mkdir(exist_ok=True)
    for name, picture in pictures.items():
        image = Image.fromarray(picture).quantize(128)  # small files: flat colours compress
        image.save(FOLDER / name, optimize=True)


if __name__ == "__main__":
    main()
