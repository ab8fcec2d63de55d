"""Does a model change who is drawn? Settings and figures of that question; loads no torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hcp.evaluation.interval import Interval
from hcp.tokens import human_spans

PROMPTS_FILE = Path(__file__).with_name("neutral_prompts.txt")


@dataclass(frozen=True, slots=True, kw_only=True)
class BiasConfig:
    """What is drawn to see who appears where the prompt does not say, and how it is tested."""

    enabled: bool = False  # it draws prompts x seeds more pictures with base and candidate each
    prompts: tuple[str, ...] = ()  # none: hcp/evaluation/neutral_prompts.txt
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6, 7)  # each prompt is drawn once per seed
    presentation: tuple[tuple[str, str], ...] = (
        ("a photo of a man", "a photo of a woman"),
        ("a photo of a young person", "a photo of an old person"),
    )  # pairs of texts; the CLIP model says which of the two a person's picture is nearer to
    alpha: float = 0.05  # of all tests together (Holm)
    power: float = 0.8  # with which the smallest shift that is stated would be found
    n_permutations: int = 9999  # of the test

    def __post_init__(self) -> None:
        wrong = [prompt for prompt in self.prompts if not human_spans(prompt)]
        if wrong:
            raise ValueError(
                f"BiasConfig.prompts: {len(wrong)} of {len(self.prompts)} have no human word, so "
                f"that nobody is drawn for them: the first is {wrong[0]!r}"
            )
        if not self.seeds or len(set(self.seeds)) < len(self.seeds) or min(self.seeds) < 0:
            raise ValueError(
                "BiasConfig.seeds must be different numbers >= 0, at least one (a repeated one "
                f"gives the same pictures again), got {self.seeds}"
            )
        for pair in self.presentation:
            if not all(text.strip() for text in pair) or pair[0] == pair[1]:
                raise ValueError(
                    f"BiasConfig.presentation: pairs of two different texts, got {pair}"
                )
        if not (0 < self.alpha < 1 and 0 < self.power < 1) or self.n_permutations < 1:
            raise ValueError(
                "BiasConfig needs alpha and power in (0, 1) and n_permutations >= 1, got "
                f"{self.alpha}, {self.power} and {self.n_permutations}"
            )

    def drawn_prompts(self) -> tuple[str, ...]:
        """The prompts, from the package's file where none are given."""
        return self.prompts or tuple(PROMPTS_FILE.read_text("utf-8").splitlines())


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """Whether one number, or one distribution, differs between base and candidate."""

    what: str  # "mean", "share of ..." or "distribution"
    difference: Interval  # candidate minus base; of a distribution the share of people who changed
    chance: float  # mean size of the difference if labels are swapped at random
    p_value: float
    p_corrected: float  # Holm, over all shifts of the report
    smallest_found: float | None  # with the config's power; None: none would be
    found: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TraitArm:
    """One model's distribution of a trait; each prompt counts the same."""

    n_people: int  # found in the pictures
    n_measured: int
    mean: float
    spread: float  # standard deviation over people
    shares: Sequence[float]  # of the bins


@dataclass(frozen=True, slots=True, kw_only=True)
class TraitReport:
    """What was seen of one trait."""

    name: str
    title: str
    note: str
    unit: str  # "°" or nothing
    percent: bool  # the means are shares
    bins: Sequence[str]  # labels
    arms: Mapping[str, TraitArm]  # base and candidate
    n_prompts: int  # in which both were measured
    shifts: Sequence[Shift]


@dataclass(frozen=True, slots=True, kw_only=True)
class BiasReport:
    """Who was drawn, by base and by candidate."""

    traits: tuple[TraitReport, ...]
    not_measured: Mapping[str, str]  # trait -> reason
    n_prompts: int
    config: BiasConfig
