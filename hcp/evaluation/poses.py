"""Does the person do what the prompt says, and can a body stand like that? Pure numpy.

A drawn person's joints are compared with those of the dataset's people, whose captions say what
they do. Ours (DESIGN 7); none of it is from the paper.

Dimension legend: N reference poses, J the 17 COCO joints.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hcp.evaluation.people import MIN_CONFIDENCE
from hcp.tokens import human_spans
from storage.records import COCO_FLIP, Person

NEIGHBOURS = 5
"""So many of the nearest reference poses say what a person does."""
MIN_JOINTS = 8
"""Fewer joints in common say nothing about a pose."""
MIN_TELLING = 0.3
"""An action is told by a pose if its own people are taken for people who do it this much more often
than the others are, photos that are looked at left out of the book. "Wearing" is none of them."""
TRIED = 24
"""So many of an action's people, and twice as many others, are tried for that."""

Distances = NDArray[np.float64] | None
"""Of a person's pose to each reference pose, ``PoseBook.distances``; None: too few joints seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoseBook:
    """Poses of real people with the actions that their captions name."""

    joints: NDArray[np.float64]  # [2 N, J, 2] x, y in pixels; the second half is mirrored
    seen: NDArray[np.bool_]  # [2 N, J]
    actions: tuple[frozenset[str], ...]  # 2 N
    photos: NDArray[np.int64]  # [2 N], of each pose
    _told: dict[str, bool] = field(default_factory=dict[str, bool], repr=False, compare=False)

    @classmethod
    def of(cls, photos: Iterable[tuple[str, Sequence[Person]]]) -> "PoseBook":
        """The people who passed the gate, of every photo (caption, people) that names an action."""
        rows: list[NDArray[np.float64]] = []
        actions: list[frozenset[str]] = []
        photo_of: list[int] = []
        for photo, (caption, people) in enumerate(photos):
            named = actions_of(caption)
            for person in people if named else ():
                points = np.array(person.keypoints, dtype=np.float64).reshape(17, 3)
                if person.passes_gate and (points[:, 2] >= MIN_CONFIDENCE).sum() >= MIN_JOINTS:
                    rows.append(points)
                    actions.append(named)
                    photo_of.append(photo)
        points = np.array(rows).reshape(-1, 17, 3)
        mirrored = points[:, list(COCO_FLIP)] * (-1.0, 1.0, 1.0)
        both = np.concatenate([points, mirrored])
        return cls(
            joints=both[..., :2],
            seen=both[..., 2] >= MIN_CONFIDENCE,
            actions=(*actions, *actions),
            photos=np.array([*photo_of, *photo_of], dtype=np.int64),
        )

    def telling(self, actions: frozenset[str]) -> frozenset[str]:
        """Those of the actions that a pose of this book tells from others, see `MIN_TELLING`."""
        for action in actions - self._told.keys():
            self._told[action] = self._tells(action)
        return frozenset(action for action in actions if self._told[action])

    def _tells(self, action: str) -> bool:
        own = np.array([action in named for named in self.actions[: len(self.actions) // 2]], bool)
        doers, others = np.flatnonzero(own), np.flatnonzero(~own)
        if len(doers) < NEIGHBOURS or not len(others):
            return False
        hits, alarms = (
            np.mean([self._does(i, action) for i in _spread(rows, count)])
            for rows, count in ((doers, TRIED), (others, 2 * TRIED))
        )
        return bool(hits - alarms >= MIN_TELLING)

    def _does(self, row: int, action: str) -> bool:
        elsewhere = np.where(
            self.photos == self.photos[row], np.inf, self._from(self.joints[row], self.seen[row])
        )
        return does_as_asked(elsewhere, frozenset({action}), self)

    def distances(self, person: Person) -> Distances:
        """Distance of a person's pose to each reference pose, [2 N]; None: too few joints seen.

        sqrt(1 - r^2) in [0, 1], r the correlation of the joints that both show, each set about its
        mean: what is left of the pose after the best shift and scale (no turn: a handstand is
        another pose than standing). 1 where too few joints are common.
        """
        points = np.array(person.keypoints, dtype=np.float64).reshape(17, 3)
        seen = points[:, 2] >= MIN_CONFIDENCE
        if seen.sum() < MIN_JOINTS or not len(self.joints):
            return None
        return self._from(points[:, :2], seen)

    def _from(self, joints: NDArray[np.float64], seen: NDArray[np.bool_]) -> NDArray[np.float64]:
        common = (self.seen & seen).astype(np.float64)  # [2 N, J]
        count = common.sum(axis=1)
        ours = _centred(np.broadcast_to(joints, self.joints.shape), common)
        theirs = _centred(self.joints, common)
        norms = np.sqrt((ours**2).sum(axis=(1, 2)) * (theirs**2).sum(axis=(1, 2)))
        inner = (ours * theirs).sum(axis=(1, 2))
        r = np.divide(inner, norms, out=np.zeros_like(norms), where=norms > 0)
        found = np.sqrt(1.0 - np.clip(r, 0.0, 1.0) ** 2)
        return np.where(count >= MIN_JOINTS, found, 1.0)


def _spread(rows: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    # at most `count` of the rows, evenly over all of them
    return rows[np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(np.int64)]


def _centred(joints: NDArray[np.float64], common: NDArray[np.float64]) -> NDArray[np.float64]:
    # [2 N, J, 2] about the mean of the common joints; 0 in the others
    weights = common[..., None]
    mean = (joints * weights).sum(axis=1) / np.maximum(weights.sum(axis=1), 1.0)
    return (joints - mean[:, None]) * weights


def actions_of(caption: str) -> frozenset[str]:
    """The action words of a caption, in lower case."""
    return frozenset(s.text.lower() for s in human_spans(caption) if s.kind == "action")


def does_as_asked(distances: Distances, actions: frozenset[str], book: PoseBook) -> bool:
    """Whether at least half of the nearest reference poses are of people who do one of these."""
    if distances is None:
        return False
    nearest = np.argsort(distances, kind="stable")[:NEIGHBOURS]
    return sum(bool(book.actions[i] & actions) for i in nearest) * 2 >= len(nearest)


def pose_as_asked(
    people: Sequence[Distances], prompt: str, *, n_expected: int | None, book: PoseBook
) -> float | None:
    """Share of the prompt's people who do what it says, in [0, 1].

    Args:
        people: ``book.distances`` of the detected people who count, best first.
        n_expected: how many the prompt asks for; a missing one counts as not doing it.
    Returns:
        None where the prompt names no action that the book can tell by a pose.
    """
    actions = book.telling(actions_of(prompt))
    if not actions:
        return None
    n = max(n_expected or 1, 1)
    return sum(does_as_asked(person, actions, book) for person in people[:n]) / n


def pose_distance(people: Sequence[Distances]) -> float | None:
    """Mean distance of the people's poses to the nearest real one, in [0, 1]; None: no pose."""
    nearest = [float(distances.min()) for distances in people if distances is not None]
    return float(np.mean(nearest)) if nearest else None
