"""Captions of the drawn scenes: a few paraphrase templates, always true of the picture."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from demo.world.backgrounds import Place
from demo.world.looks import Look
from demo.world.poses import Pose
from demo.world.things import Thing

_PLURALS = {"man": "men", "woman": "women", "boy": "boys", "girl": "girls"}
_NUMBERS = {2: "two", 3: "three"}


def pick(options: Sequence[str], rng: np.random.Generator) -> str:
    """One of the options, at random."""
    return options[int(rng.integers(len(options)))]


def article(words: str) -> str:
    """The words with "a" or "an" before them."""
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def clothes(look: Look, rng: np.random.Generator) -> str:
    """What the person wears, as "in ..." or "wearing ..."."""
    wear = pick(("in", "in", "wearing"), rng)
    if look.bottom == "dress":
        return f"{wear} {article(look.top + ' dress')}"
    words = f"{wear} {article(look.top + ' shirt')}"
    if rng.random() < 0.25:
        lower = f"{look.bottom_color} {look.bottom}"
        words += f" and {article(lower) if look.bottom == 'skirt' else lower}"
    return words


def _one_person(look: Look, pose: Pose | None, place: Place, rng: np.random.Generator) -> str:
    who = article(look.kind)
    worn = f" {clothes(look, rng)}" if rng.random() < 0.8 else ""
    if pose is None:
        words = f"{who}{worn} {pick(place.phrases, rng)}"
        return words if rng.random() < 0.85 else f"a picture of {words}"
    # most captions use the pose's first name, so that its words are learned well
    action = pose.actions[0] if rng.random() < 0.7 else pick(pose.actions, rng)
    where = pick(place.phrases, rng)
    if not action.endswith("ing") and rng.random() < 0.15 and action.startswith("with"):
        return f"{who}{worn} {where} {action}"
    form = rng.random()
    if form < 0.7 or action.startswith("with"):
        return f"{who}{worn} {action} {where}"
    if form < 0.85:
        return f"{who}{worn} is {action} {where}"
    return f"a picture of {who}{worn} {action} {where}"


def people(looks: Sequence[Look], pose: Pose | None, place: Place, rng: np.random.Generator) -> str:
    """The caption of a scene with one to three people in the same pose; None: it is not said."""
    if len(looks) == 1:
        return _one_person(looks[0], pose, place, rng)
    kinds = Counter(look.kind for look in looks)
    where = pick(place.phrases, rng)
    doing = f"{pose.actions[0]} {where}" if pose else where
    if len(kinds) == 1:
        who = f"{_NUMBERS[len(looks)]} {_PLURALS[looks[0].kind]}"
        if len({look.top for look in looks}) == 1 and looks[0].bottom != "dress":
            who += f" in {looks[0].top} shirts"
    elif len(looks) == 2:
        first, second = (
            article(look.kind) + (f" {clothes(look, rng)}" if rng.random() < 0.6 else "")
            for look in looks
        )
        who = f"{first} and {second}"
    else:
        who = pick((f"{_NUMBERS[len(looks)]} people", "a group of people"), rng)
    return f"{who} {doing}"


def no_people(things: Sequence[tuple[Thing, str]], place: Place, rng: np.random.Generator) -> str:
    """The caption of a scene of one or two things (thing, colour name) without people."""
    names = [article(f"{color} {thing.noun}".strip()) for thing, color in things]
    where = pick(place.phrases, rng)
    if not names:
        scene = {"beach": "beach", "park": "park", "street": "street", "room": "room",
                 "snow": "snowy field", "stage": "stage", "night": "city at night",
                 "sea": "sea"}[place.name]  # fmt: skip
        return pick((f"an empty {scene}", f"a picture of an empty {scene}"), rng)
    if len(names) == 2:
        return f"{names[0]} {pick(('and', 'next to', 'beside'), rng)} {names[1]} {where}"
    action = pick(things[0][0].actions, rng) if things[0][0].actions else ""
    words = f"{names[0]} {action} {where}" if action else f"{names[0]} {where}"
    return words if rng.random() < 0.8 else f"a picture of {words}"
