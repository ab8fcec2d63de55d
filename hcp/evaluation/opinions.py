"""What the body judge and the people of a dataset say of each detected person."""

from collections.abc import Sequence

from hcp.evaluation.people import Opinion
from hcp.evaluation.poses import PoseBook, actions_of, does_as_asked
from storage.records import Person


def opinions_of(
    people: Sequence[Person],
    prompt: str,
    *,
    soundness: Sequence[float] = (),
    poses: PoseBook | None = None,
) -> list[Opinion]:
    """An opinion of each of a picture's people, in their order.

    Args:
        soundness: of each of them in [0, 1]; empty: no body judge looked at them.
        poses: people of a dataset; None, or a prompt without an action that they can tell: it is
            not said whether somebody does as asked.
    """
    actions = poses.telling(actions_of(prompt)) if poses is not None else frozenset[str]()
    as_asked: list[bool | None] = [
        does_as_asked(poses.distances(person), actions, poses) if poses and actions else None
        for person in people
    ]
    sound = soundness or [None] * len(people)
    return [
        Opinion(soundness=each, as_asked=asked) for each, asked in zip(sound, as_asked, strict=True)
    ]
