"""What is drawn: one picture per prompt, of a stated seed, the same for all arms.

In the drawn world the prompts are captions of scenes that neither the base, nor the judge, nor the
data set, nor the choice of learning rates has seen; each has the renderer's own picture and pose.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import count, islice, product

import numpy as np
from numpy.typing import NDArray

from demo.world.scenes import render_scene
from flows.evaluation_inputs import read_prompts
from hcp.evaluation.poses import actions_of
from hcp.tokens import human_spans
from hcp.tokens.counting import expected_people
from hcp.training.batches import sample_rng
from hcp.training.config import DataConfig
from hcp.training.examples import make_example
from storage.canonical import digest_of
from storage.records import Keypoint
from storage.versions import DatasetVersion

Image8 = NDArray[np.uint8]

REPORTED_FIRST_SEED, TUNING_FIRST_SEED = 3_000_000, 4_000_000
"""Of scenes: the data set's begin at 0, those of the small models at 1,000,000 and 2,000,000."""

THINGS = (
    "a red car", "a wooden table", "a black dog", "a cat", "a blue house", "a yellow boat",
    "a bowl of fruit", "a green tree", "a white horse", "an old bicycle", "a lighthouse", "a bird",
)  # fmt: skip
PLACES = ("on a beach", "in a park", "on a street", "in the snow", "in a room", "at night")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One picture that is asked for, and what is known of a true one."""

    prompt: str
    seed: int  # of the picture's noise
    image: Image8 | None = None  # a true picture of the prompt
    people: tuple[tuple[Keypoint, ...], ...] | None = None  # in its pixels


@dataclass(frozen=True, kw_only=True)
class PromptSet:
    """Prompts whose people are judged, and prompts without people, which must stay as they are."""

    source: str  # in words
    people: tuple[Asked, ...]
    others: tuple[Asked, ...]

    def __post_init__(self) -> None:
        if not self.people:
            raise ValueError(f"{self.source}: no prompt names an action and a number of people")

    @property
    def all(self) -> tuple[Asked, ...]:
        """Those with people first."""
        return (*self.people, *self.others)

    @cached_property
    def digest(self) -> str:
        """Of everything that a drawn picture depends on."""
        asked = [[each.prompt, each.seed, each.people] for each in self.all]
        return digest_of(asked, hex_digits=12)

    @property
    def drawn(self) -> bool:
        """Whether there are true pictures of the prompts with people."""
        return all(each.image is not None for each in self.people)

    @property
    def posed(self) -> bool:
        """Whether poses are known: no person where nobody is asked for."""
        return all(each.people is not None for each in self.people)


def is_judged(prompt: str) -> bool:
    """Whether a prompt names an action and how many people do it."""
    return bool(actions_of(prompt)) and bool(expected_people(prompt))


def drawn_prompts(first_seed: int, n_people: int, n_others: int, *, size_px: int) -> PromptSet:
    """Captions of drawn scenes, each once, from ``first_seed`` on."""
    people: dict[str, Asked] = {}
    others: dict[str, Asked] = {}
    for seed in count(first_seed):
        if len(people) >= n_people and len(others) >= n_others:
            break
        scene = render_scene(seed, size_px=size_px)
        kept, wanted = (people, n_people) if scene.people else (others, n_others)
        fits = is_judged(scene.caption) if scene.people else not human_spans(scene.caption)
        if not fits or scene.caption in kept or len(kept) >= wanted:
            continue
        joints = tuple(
            tuple((x, y, 0.9 if visible else 0.0) for x, y, visible in person.keypoints)
            for person in scene.people
        )
        kept[scene.caption] = Asked(
            prompt=scene.caption, seed=seed, image=scene.image, people=joints
        )
    return PromptSet(
        source=f"captions of held-out drawn scenes from seed {first_seed:,} on",
        people=tuple(people.values()),
        others=tuple(others.values()),
    )


def held_out_prompts(
    version: DatasetVersion, n_people: int, n_others: int, *, size_px: int, tuning: bool = False
) -> PromptSet:
    """Captions of a data set's held-out photos; for tuning every second one, else the others.

    Raises:
        ValueError: no held-out caption names an action and a number of people.
    """
    people: dict[str, Asked] = {}
    config = DataConfig(resolution_px=size_px, flip_probability=0.0, caption_dropout=0.0)
    for sample in version.iter_samples("val"):
        if len(people) == n_people:
            break
        odd = int(sample.key, 16) % 2 == 1
        if odd is not tuning or sample.caption in people or not is_judged(sample.caption):
            continue
        example = make_example(sample, config=config, rng=sample_rng(0, 0, sample.key))
        joints = tuple(tuple(map(tuple, person.tolist())) for person in example.keypoints)
        people[sample.caption] = Asked(
            prompt=sample.caption, seed=int(sample.key[-7:], 16), people=joints,
            image=np.ascontiguousarray(example.pixels.transpose(1, 2, 0)),
        )  # fmt: skip
    source = f"captions of held-out photos of {version.id}"
    return PromptSet(
        source=source, people=tuple(people.values()), others=tuple(islice(scenery(), n_others))
    )


def file_prompts(path: str, n_people: int, n_others: int, *, tuning: bool = False) -> PromptSet:
    """The lines of a file, with built-in prompts without people where it has too few of them.

    Poses and true pictures are not known. For tuning, other seeds of the same prompts are drawn.

    Raises:
        HcpError: it cannot be read.
        ValueError: no line names an action and a number of people.
    """
    lines = list(dict.fromkeys(read_prompts(path)))
    first = TUNING_FIRST_SEED if tuning else REPORTED_FIRST_SEED
    asked = [Asked(prompt=line, seed=first + i) for i, line in enumerate(lines)]
    others = [each for each in asked if not human_spans(each.prompt)]
    return PromptSet(
        source=f"prompts of {path}",
        people=_first((each for each in asked if is_judged(each.prompt)), n_people),
        others=_first((*others, *scenery()), n_others),
    )


def scenery() -> Iterator[Asked]:
    """Built-in prompts without people: things, animals and places."""
    for seed, (thing, place) in enumerate(product(THINGS, PLACES), start=REPORTED_FIRST_SEED):
        yield Asked(prompt=f"{thing} {place}", seed=seed, people=())


def _first(asked: Iterable[Asked], n: int) -> tuple[Asked, ...]:
    return tuple(islice(asked, n))
