"""What an evaluation says, as plain data; loads no torch."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal

from hcp.evaluation.bias_results import BiasConfig, BiasReport
from hcp.evaluation.colour import ClothingConfig
from hcp.evaluation.interval import Interval
from hcp.evaluation.prompts import DEFAULT_PROMPTS
from hcp.tokens import human_spans

BASE, CANDIDATE, CHAMPION = "base", "candidate", "champion"
"""Names of the arms."""

_LIMITS = ("max_photos", "max_references", "min_face_px")


Scores = Mapping[str, Mapping[str, tuple[float | None, ...]]]
"""Measure -> arm -> one number for each picture or photo; None where it is not defined."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureSet:
    """Pictures that are asked for together: each prompt once a seed."""

    prompts: tuple[str, ...]
    seeds: tuple[int, ...]

    def pictures(self) -> list[tuple[str, int]]:
        """Prompt and seed of each picture, in the order in which they are drawn."""
        return [(prompt, seed) for prompt in self.prompts for seed in self.seeds]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationConfig:
    """What is drawn and how it is compared."""

    prompts: tuple[str, ...] = DEFAULT_PROMPTS  # some with people, some without
    seeds: tuple[int, ...] = (0, 1, 2, 3)  # each prompt is drawn once per seed
    steps: int = 30  # sampling steps
    guidance: float = 7.5  # classifier-free, 1 is off
    batch_size: int = 4  # pictures drawn together
    precision: Literal["auto", "float32", "float16"] = "auto"  # auto: float16 on a GPU
    noise_levels: tuple[float, ...] = (0.2, 0.5, 0.8)  # timesteps of the photos, share of T
    max_photos: int = 64  # held-out ones whose attention is measured
    max_references: int = 500  # photos that FID, KID and CMMD compare with, held-out ones first
    min_face_px: int = 16  # side of the smallest face that is measured
    level: float = 0.95  # of the bootstrap intervals
    n_resamples: int = 2000  # of the bootstrap
    bias: BiasConfig = field(default_factory=BiasConfig)  # who is drawn
    clothing: ClothingConfig = field(default_factory=ClothingConfig)
    out_of_domain: str | None = None
    """A built-in set of prompts (``real``, ``embedded``) or a file of lines ``category: prompt``.

    Every model draws each of them once. None: off, as it draws more pictures."""

    def __post_init__(self) -> None:
        if not self.prompts or not self.seeds:
            raise ValueError("EvaluationConfig needs at least one prompt and one seed")
        check_prompts("EvaluationConfig.prompts", self.prompts)
        check_prompts("EvaluationConfig.bias.prompts", self.bias.prompts)
        if not any(human_spans(prompt) for prompt in self.prompts):
            raise ValueError(
                "EvaluationConfig.prompts: none of the "
                f"{len(self.prompts)} prompts has a human word, so there is nothing to compare"
            )
        if (
            len(set(self.seeds)) < len(self.seeds)
            or not 0 <= min(self.seeds) <= max(self.seeds) < 2**63
        ):
            raise ValueError(
                "EvaluationConfig.seeds must be different numbers from 0 to 2**63 - 1 (a repeated "
                f"one gives the same pictures again), got {self.seeds}"
            )
        for name in ("steps", "batch_size", "n_resamples", *_LIMITS):
            if getattr(self, name) < 1:
                raise ValueError(f"EvaluationConfig.{name} must be >= 1, got {getattr(self, name)}")
        if not 1 <= self.guidance < math.inf or not 0 < self.level < 1:
            raise ValueError(
                "EvaluationConfig needs guidance >= 1 and level in (0, 1), got "
                f"{self.guidance} and {self.level}"
            )
        if not self.noise_levels or not all(0 <= level < 1 for level in self.noise_levels):
            raise ValueError(
                f"EvaluationConfig.noise_levels must be in [0, 1), at least one, got "
                f"{self.noise_levels}"
            )

    def picture_set(self) -> PictureSet:
        """What every model draws."""
        return PictureSet(prompts=self.prompts, seeds=self.seeds)

    def pictures(self) -> list[tuple[str, int]]:
        """Prompt and seed of each picture, in the order in which they are drawn."""
        return self.picture_set().pictures()

    def numbers_of(self, prompts: Iterable[str]) -> list[int]:
        """Which of ``self.prompts`` each one is: the groups of a bootstrap over prompts."""
        order = {prompt: i for i, prompt in enumerate(self.prompts)}
        return [order[prompt] for prompt in prompts]


def check_prompts(name: str, prompts: Sequence[str]) -> None:
    """See that every prompt says something, and something else than the others.

    Raises:
        ValueError: an empty or a repeated prompt; the message begins with ``name``.
    """
    if empty := [i for i, prompt in enumerate(prompts, start=1) if not prompt.strip()]:
        raise ValueError(f"{name}: number {empty[0]} of {len(prompts)} is empty")
    repeated = [(prompt, n) for prompt, n in Counter(prompts).items() if n > 1]
    if repeated:
        prompt, n = repeated[0]
        raise ValueError(
            f"{name}: {prompt[:80]!r} is given {n} times ({len(repeated)} prompts are repeated); "
            "the same seeds would give the same pictures again: give each prompt once"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureCard:
    """What the report says of a measure that is in ``ArmReport.more``."""

    name: str  # as in the metrics: faces_kid
    title: str  # of its row: "Faces, KID"
    note: str  # a few words on what it is
    better: Literal["higher", "lower", "neither"]
    percent: bool = False
    scale: float = 1.0  # what a page shows is the figure times this
    photos: float | None = None  # the same measured on real photos


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenFaults:
    """What each measure saw of faults that were put into pictures, as a body judge's record says.

    A fault is seen if the intact picture of a pair is ranked above the corrupted one in at least
    the share ``enough`` of the pairs.
    """

    world: str  # whose pictures: "drawn people"
    pairs: int  # of all kinds
    enough: float
    shares: Mapping[str, Mapping[str, float]]  # measure -> kind of fault -> share ranked right

    def seen(self, measure: str) -> list[str]:
        """The kinds of fault that the measure sees, best first."""
        shares = self.shares.get(measure, {})
        return sorted((k for k in shares if shares[k] >= self.enough), key=lambda k: -shares[k])

    def unseen(self, measure: str) -> list[str]:
        """The kinds of fault that it does not see, nearly seen ones first."""
        shares = self.shares.get(measure, {})
        return sorted((k for k in shares if shares[k] < self.enough), key=lambda k: -shares[k])


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmReport:
    """One model's numbers; None where something was not measured."""

    people_score: float  # see hcp.evaluation.people.people_score
    detection_rate: float  # share of person prompts' pictures with at least one person
    count_error: float | None  # mean |people found - people asked for|
    keypoint_confidence: float | None
    implausible_limb_rate: float | None
    n_person_pictures: int
    pixel_difference: float | None  # mean absolute, levels 0-255, to the base, prompts w/o people
    identical_share: float | None  # of those pictures, bit for bit equal to the base's
    text_score: float | None
    attention_share: float | None  # of M, or of M^ with HcP layers
    human_map_share: float | None  # of M_h alone, with HcP layers
    fid: float | None  # as in ``more``, for those who read reports of earlier versions
    kid: float | None
    pose_as_asked: float | None = None  # see hcp.evaluation.poses.pose_as_asked
    pose_distance: float | None = None  # of the people found to the nearest real pose, 0 to 1
    more: Mapping[str, float] = field(default_factory=dict[str, float])  # by their cards' names


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Paired differences, candidate minus another arm; intervals over prompts (or photos)."""

    people_score: Interval
    text_score: Interval | None
    attention_share: Interval | None
    pose_as_asked: Interval | None = None
    more: Mapping[str, Interval] = field(default_factory=dict[str, Interval])


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationReport:
    """Everything that was measured, as plain data."""

    arms: Mapping[str, ArmReport]  # base, candidate and, where there is one, champion
    comparisons: Mapping[str, Comparison]  # of the candidate with base and champion, by their name
    attention_chance: float | None  # share that a flat map would have
    n_photos: int
    not_measured: Mapping[str, str]  # metric -> reason
    config: EvaluationConfig
    methods: Mapping[str, str] = field(default_factory=dict[str, str])
    """Of the arms that were trained, as ``TrainConfig.method`` has them."""
    parameters: Mapping[str, int] = field(default_factory=dict[str, int])  # trained ones, of each
    cards: tuple[MeasureCard, ...] = ()  # of the measures in ``more``, in the report's order
    notes: tuple[str, ...] = ()  # sentences on what was drawn that a reader should know
    scores: Scores = field(default_factory=dict[str, Mapping[str, tuple[float | None, ...]]])
    """What was measured picture by picture, in the order of ``config.pictures()``."""
    photo_scores: Scores = field(default_factory=dict[str, Mapping[str, tuple[float | None, ...]]])
    """And on the held-out photos, in their order."""
    seen_faults: SeenFaults | None = None  # what was tried with this body judge and its peers
    bias: BiasReport | None = None  # who was drawn; None: not asked for

    def metrics(self) -> dict[str, float]:
        """The numbers as flat names, for a model registry: ``candidate.people_score``."""
        flat = {
            f"{arm}.{name}": float(value)
            for arm, report in self.arms.items()
            for name, value in {**asdict(report), **report.more, "more": None}.items()
            if value is not None
        }
        for other, comparison in self.comparisons.items():
            for end in ("mean", "low", "high"):
                name = f"{CANDIDATE}-{other}.people_score.{end}"
                flat[name] = getattr(comparison.people_score, end)
        return flat
