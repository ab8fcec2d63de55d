"""How sound does a drawn body look? A small network that has seen bodies drawn right and wrong.

Ours (DESIGN 7); none of it is from the paper. It judges the world that it was trained on, and no
other: what that is stands in ``config.json``, which faults were seen in ``seen_faults.json``.

Dimension legend: N crops, S their side in px.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from hcp.evaluation.results import SeenFaults
from storage.errors import WeightsError
from storage.records import Box, Person
from storage.weight_files import check_model_files

WEIGHTS_FILE, CONFIG_FILE, RECORD_FILE = "model.safetensors", "config.json", "seen_faults.json"
FILL = (127, 127, 127)
"""Of a crop where it reaches beyond the picture."""
BATCH = 64

Image8 = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyConfig:
    """Sizes of a body judge, and what it knows."""

    input_px: int = 96  # side of its square input
    padding: float = 1.25  # side of the crop, in longer sides of the person's box
    widths: tuple[int, ...] = (16, 32, 64, 96)  # channels of the stages, each of half the side
    trained_on: str = ""  # for people: "drawn people"

    def __post_init__(self) -> None:
        if not self.widths or min(self.widths) < 1 or self.input_px < 2 ** len(self.widths):
            raise ValueError(
                "BodyConfig needs widths >= 1 and an input_px that they can halve, got "
                f"{self.widths} and {self.input_px}"
            )
        if self.padding < 1:
            raise ValueError(f"BodyConfig.padding must be >= 1, got {self.padding}")


class BodyNetwork(nn.Module):
    """Crops [N, 3, S, S] in [-1, 1] to logits of soundness [N]."""

    def __init__(self, config: BodyConfig) -> None:
        super().__init__()
        before = (3, *config.widths[:-1])
        pairs = zip(before, config.widths, strict=True)
        self.stages = nn.ModuleList(_Stage(have, want) for have, want in pairs)
        self.head = nn.Sequential(nn.Dropout(0.1), nn.Linear(2 * config.widths[-1], 1))
        self.where = nn.Conv2d(config.widths[-1], 1, 1)

    def forward(self, crops: Tensor) -> Tensor:
        """The logits."""
        return self.judged(crops)[0]

    def judged(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """The logits [N], and logits of a fault in each cell of the last stage [N, h, w].

        Training tells it where the faults are; who only wants a verdict needs no map.
        """
        for stage in self.stages:
            crops = stage(crops)
        seen = torch.cat([crops.mean(dim=(2, 3)), crops.amax(dim=(2, 3))], dim=1)
        return self.head(seen).squeeze(1), self.where(crops).squeeze(1)


class _Stage(nn.Module):
    def __init__(self, have: int, want: int) -> None:
        super().__init__()
        self.enter = nn.Sequential(
            nn.Conv2d(have, want, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(want),
            nn.SiLU(inplace=True),
        )
        self.mix = nn.Sequential(
            nn.Conv2d(want, want, 3, padding=1, bias=False),
            nn.BatchNorm2d(want),
            nn.SiLU(inplace=True),
        )

    def forward(self, hidden: Tensor) -> Tensor:
        hidden = self.enter(hidden)
        return hidden + self.mix(hidden)


def body_crop(
    image: Image8,
    box: Box,
    *,
    size_px: int,
    padding: float,
    fill: tuple[int, int, int] = FILL,
) -> Image8:
    """The square about a person's box, [size_px, size_px, 3]; its side in longer sides of the box.

    ``fill`` is the colour where it reaches beyond the picture.
    """
    x0, y0, x1, y1 = box
    side = max(8, round(padding * max(x1 - x0, y1 - y0)))
    left, top = round((x0 + x1 - side) / 2), round((y0 + y1 - side) / 2)
    canvas = Image.new("RGB", (side, side), fill)
    canvas.paste(Image.fromarray(image), (-left, -top))
    return np.asarray(canvas.resize((size_px, size_px), Image.Resampling.BILINEAR))


def as_input(crops: Sequence[Image8]) -> Tensor:
    """uint8 crops to the network's input [N, 3, S, S]."""
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 127.5 - 1.0


class BodyJudge:
    """A trained network with its sizes and the record of what it sees."""

    def __init__(
        self,
        network: BodyNetwork,
        config: BodyConfig,
        *,
        sees: SeenFaults | None = None,
        device: str = "cpu",
    ) -> None:
        self._network, self._device = network.to(device).eval(), device
        self.config, self.sees = config, sees

    @torch.inference_mode()
    def __call__(
        self, images: Sequence[Image8], people: Sequence[Sequence[Person]]
    ) -> list[list[float]]:
        """Soundness of each person in [0, 1], 1: sound; same order as ``people``."""
        size, padding = self.config.input_px, self.config.padding
        crops = [
            body_crop(image, person.bbox_xyxy_px, size_px=size, padding=padding)
            for image, found in zip(images, people, strict=True)
            for person in found
        ]
        scores: list[float] = []
        for start in range(0, len(crops), BATCH):
            batch = as_input(crops[start : start + BATCH]).to(self._device)
            scores += self._network(batch).sigmoid().tolist()
        rest = iter(scores)
        return [[next(rest) for _ in found] for found in people]


def save_bodies(network: BodyNetwork, folder: Path, *, config: BodyConfig) -> None:
    """Write ``model.safetensors`` in half precision and ``config.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        name: (tensor.half() if tensor.is_floating_point() else tensor).contiguous()
        for name, tensor in network.state_dict().items()
    }
    save_file(tensors, folder / WEIGHTS_FILE)
    (folder / CONFIG_FILE).write_text(json.dumps(asdict(config), indent=1) + "\n")


def load_bodies(folder: str | Path, *, device: str = "cpu") -> BodyJudge:
    """The body judge of a folder that ``save_bodies`` wrote, in single precision.

    Raises:
        WeightsError: a file is missing, or weights and config do not fit each other.
    """
    folder = Path(folder)
    for name in (WEIGHTS_FILE, CONFIG_FILE):
        if not (folder / name).is_file():
            raise WeightsError(
                f"body judge: expected {WEIGHTS_FILE} and {CONFIG_FILE} in {folder}, {name} is "
                "missing; evaluate.bodies names such a folder, or 'embedded', or nothing"
            )
    check_model_files([folder / WEIGHTS_FILE, folder / CONFIG_FILE], "body judge")
    try:
        fields: dict[str, Any] = json.loads((folder / CONFIG_FILE).read_text())
        fields["widths"] = tuple(fields["widths"])
        config = BodyConfig(**fields)
        network = BodyNetwork(config)
        network.load_state_dict(load_file(folder / WEIGHTS_FILE))
    except (ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise WeightsError(
            f"body judge: {CONFIG_FILE} and {WEIGHTS_FILE} in {folder} do not fit: {error}"
        ) from error
    return BodyJudge(network, config, sees=_seen_faults(folder / RECORD_FILE), device=device)


def save_seen_faults(record: SeenFaults, folder: Path) -> None:
    """Write what was seen beside a judge's weights."""
    (folder / RECORD_FILE).write_text(json.dumps(asdict(record), indent=1) + "\n")


def _seen_faults(path: Path) -> SeenFaults | None:
    """The record beside the weights; None: nobody has tried this judge."""
    if not path.is_file():
        return None
    try:
        return SeenFaults(**json.loads(path.read_text()))
    except (ValueError, TypeError) as error:
        raise WeightsError(f"body judge: {path} is no record of seen faults: {error}") from error
