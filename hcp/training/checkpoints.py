"""The checkpoints in a run's folder: which are whole, which one is the last, which the best.

Each is a folder ``step-<8 digits>``; it counts once its marker COMPLETE.json is there. They are
written in place by rank 0, without Ray Train's own bookkeeping: that keeps either the last or the
best ones, and writes its list over the old one, so that a full disk or a kill at that moment would
leave a run that cannot be resumed.
"""

import json
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from hcp.training.state import STATE_JSON, save_checkpoint
from hcp.training.trainer import Trainer
from storage.checkpoints import COMPLETE_NAME, listed_files, verify_checkpoint
from storage.errors import CheckpointError
from storage.locations import entries_in, exists, join, read_bytes, remove, remove_folder

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A finished checkpoint of a run."""

    step: int
    uri: str
    validation_loss: float | None = None  # of the validation at this step


class CheckpointFolder:
    """A run's folder, as the one process sees it that writes its checkpoints."""

    def __init__(self, uri: str, *, keep: int = 2) -> None:
        """The last ``keep`` checkpoints and the one of the lowest validation loss stay."""
        self.uri, self._keep = uri, keep
        self.failed = 0  # checkpoints that could not be written

    def finished(self) -> list[Kept]:
        """Those with a marker, by step; whether their files still are as written is not checked."""
        return [
            Kept(step=step, uri=uri, validation_loss=_validation_loss(uri))
            for step, uri in self._places()
            if _is_finished(uri)
        ]

    def newest_whole(self) -> Kept | None:
        """The last one whose every file is as it was written; the damaged ones are warned of.

        Raises:
            CheckpointError: there are checkpoints, and all of them are damaged.
        """
        finished, damage = self.finished(), list[str]()
        for kept in reversed(finished):
            try:
                verify_checkpoint(kept.uri)
            except CheckpointError as error:
                damage.append(str(error))
                logger.warning("left out, the one before is taken: %s", error)
            else:
                return kept
        if damage:
            raise CheckpointError(f"no checkpoint in {self.uri} is whole: {'; '.join(damage)}")
        return None

    def save(self, trainer: Trainer, *, validation_loss: float | None = None) -> str | None:
        """Write a checkpoint and remove those no longer wanted; what went wrong, None if nothing.

        Where it cannot be written, as on a full disk, its leftovers go, the older ones stay, and
        it is counted in ``failed``.
        """
        uri = join(self.uri, f"step-{trainer.step_done:08d}")
        try:
            save_checkpoint(uri, trainer, validation_loss=validation_loss)
        except (OSError, CheckpointError) as error:
            self.failed += 1
            _clear(uri)
            return f"checkpoint {uri} could not be written: {error}"
        for place in self._unwanted(upto=trainer.step_done):
            _clear(place)
        return None

    def _unwanted(self, *, upto: int) -> list[str]:
        # Later ones, of a run that was taken up again before them, are left until they are reached.
        finished = [kept for kept in self.finished() if kept.step <= upto]
        wanted = {kept.uri for kept in finished[-self._keep :]}
        if (top := best_of(finished)) is not None:
            wanted.add(top.uri)
        return [uri for step, uri in self._places() if step <= upto and uri not in wanted]

    def _places(self) -> list[tuple[int, str]]:
        found = [re.fullmatch(r"step-(\d+)", name) for name in entries_in(self.uri)]
        return sorted((int(m.group(1)), join(self.uri, m.group())) for m in found if m)


def best_of(kept: Sequence[Kept]) -> Kept | None:
    """The one of the lowest validation loss, the later of equals; None where none was validated."""
    known = [
        (each.validation_loss, -each.step, each)
        for each in kept
        if each.validation_loss is not None and isfinite(each.validation_loss)
    ]
    return min(known, key=lambda item: item[:2])[2] if known else None


def _is_finished(uri: str) -> bool:
    """Whether it has its marker, and that one speaks of the trainer's state.

    Older versions wrote a marker of the files for use first: who was killed then left only that.
    """
    if not exists(join(uri, COMPLETE_NAME)):
        return False
    try:
        return STATE_JSON in listed_files(uri)
    except CheckpointError:
        return True  # damaged: whoever loads it will say so


def _validation_loss(uri: str) -> float | None:
    try:
        found = json.loads(read_bytes(join(uri, STATE_JSON))).get("validation_loss")
    except (OSError, ValueError):
        return None  # damaged: whoever loads it will say so
    return None if found is None else float(found)


def _clear(uri: str) -> None:
    try:
        remove(join(uri, COMPLETE_NAME))  # first, so that what is half gone does not count
        remove_folder(uri)
    except FileNotFoundError:
        return
    except OSError as error:
        logger.warning("%s could not be removed: %s", uri, error)
