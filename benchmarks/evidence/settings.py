"""What is compared, and at which size: one file per kind of base, edited by whoever does research.

``embedded.yaml`` is the drawn world's; a file of one's own goes to ``--settings``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import TypeAdapter, ValidationError

from flows.cli.settings import from_preset, merged
from flows.params import EvaluateSettings, TrainSettings
from hcp.training.config import TrainConfig

FOLDER = Path(__file__).parent
BASE_ARM = "base"
QUICK_ARMS = ("hcp-paper", "lora", "controlnet")


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmSettings:
    """One way of training, as it differs from what all have in common."""

    training: Mapping[str, Any] = field(default_factory=dict[str, Any])  # fields of TrainConfig
    kind: Literal["method", "controlnet"] = "method"
    matched: bool = True  # its width or rank is chosen so that as many parameters train
    note: str = ""  # for the table

    def __post_init__(self) -> None:
        if self.matched and self.kind == "controlnet":
            raise ValueError("ArmSettings: a ControlNet is a copy of its U-Net: matched: false")


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawingConfig:
    """How pictures are drawn, the same for all arms."""

    steps: int = 14
    guidance: float = 5.0
    batch_size: int = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceSettings:
    """The whole comparison."""

    preset: str  # of the product: what its sections `train` and `evaluate` say lies below this file
    training: Mapping[str, Any]  # fields of TrainConfig, for all arms
    arms: Mapping[str, ArmSettings]
    budget_of: str  # arm whose trained parameters the matched ones have, as nearly as possible
    default: str  # the arm that is our default
    without_loss: str  # the same arm without the alignment loss
    drawing: DrawingConfig = field(default_factory=DrawingConfig)
    learning_rates: Mapping[str, float] = field(default_factory=dict[str, float])
    """Of arms that do not train with the common one."""
    seeds: int = 3  # training seeds
    prompts: int = 200  # held-out ones with people
    others: int = 60  # without people
    tuning_prompts: int = 100  # on which a method's learning rate is chosen
    drawn_photos: int = 3000  # of the drawn world, where no data set is given
    attention_photos: int = 64  # held-out ones
    reference_photos: int = 600  # that distances between distributions are measured to
    features: str | None = "embedded"  # feature network of those distances; None: no distances

    def __post_init__(self) -> None:
        unknown = {self.budget_of, self.default, self.without_loss, *self.learning_rates}
        if unknown := unknown - set(self.arms):
            raise ValueError(f"EvidenceSettings: no such arm: {', '.join(sorted(unknown))}")
        if BASE_ARM in self.arms:
            raise ValueError(f"EvidenceSettings: {BASE_ARM!r} is the base itself, and no arm")

    def quick(self) -> "EvidenceSettings":
        """A size that shows that everything runs, and measures nothing."""
        steps = {"steps": 10, "checkpoint_every": 5}
        return replace(
            self, training={**self.training, **steps}, drawing=replace(self.drawing, steps=2),
            seeds=2, prompts=8, others=4, tuning_prompts=4, drawn_photos=60, attention_photos=4,
            reference_photos=16, arms={n: a for n, a in self.arms.items() if n in self.quick_arms},
            learning_rates={n: r for n, r in self.learning_rates.items() if n in self.quick_arms},
        )  # fmt: skip

    @property
    def quick_arms(self) -> tuple[str, ...]:
        """Those that a quick run has."""
        return (*QUICK_ARMS, self.default, self.budget_of, self.without_loss)

    def train_config(self, arm: str, *, seed: int, changes: Mapping[str, Any]) -> TrainConfig:
        """The training of one arm and seed.

        Args:
            seed: of the data's order, the noise and the new weights.
            changes: over everything else, such as a matched width.
        Raises:
            ValueError: a field does not exist or has a value that it cannot have.
        """
        own: Mapping[str, Any] = {"seed": seed, "hcp": {"init_seed": seed},
                                  "lora": {"init_seed": seed}}  # fmt: skip
        if arm in self.learning_rates:
            own = {**own, "learning_rate": self.learning_rates[arm]}
        training = from_preset(TrainSettings, self.preset).get("training", {})
        for layer in (self.training, self.arms[arm].training, own, changes):
            training = merged(training, layer)
        places = {"base": "embedded", "out": "."}  # read by nobody: the validation needs some
        return TrainSettings.model_validate({**places, "training": training}).training

    def evaluation(self) -> EvaluateSettings:
        """Who judges."""
        given = from_preset(EvaluateSettings, self.preset)
        return EvaluateSettings.model_validate({"base": "embedded", **given, "out": "."})


def read_settings(path: Path) -> EvidenceSettings:
    """The settings in a YAML file.

    Raises:
        ValueError: it cannot be read or is wrong; the message names the file.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
        known = set(EvidenceSettings.__dataclass_fields__)
        if not isinstance(data, dict) or not data.keys() <= known:
            raise ValueError(f"expected fields among {', '.join(sorted(known))}")
        return TypeAdapter(EvidenceSettings).validate_python(data)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValidationError, ValueError) as error:
        raise ValueError(f"settings {path}: {error}") from error
