"""What was seen of a training, in its run's folder: ``validation.jsonl`` and sample pictures."""

import json
from dataclasses import asdict, fields

from hcp.training.watching import Event, SampleGrid, Validation
from storage.locations import exists, join, read_bytes, write_atomic

VALIDATION_NAME = "validation.jsonl"
_FIELDS = {field.name for field in fields(Validation)}


def read_validations(uri: str) -> tuple[Validation, ...]:
    """The validations in a file, by step; what later versions add to a line is left out."""
    if not exists(uri):
        return ()
    lines = (json.loads(line) for line in read_bytes(uri).splitlines() if line.strip())
    found = (Validation(**{k: v for k, v in line.items() if k in _FIELDS}) for line in lines)
    return tuple(sorted(found, key=lambda each: each.step))


def validations_beside(metrics_uri: str) -> tuple[Validation, ...]:
    """The validations of the run that a ``metrics.jsonl`` is of."""
    return read_validations(join(metrics_uri.rpartition("/")[0], VALIDATION_NAME))


class LookFiles:
    """Takes a training's events and writes what was seen; a step that comes again stands once."""

    def __init__(self, folder: str) -> None:
        """Go on from what the run's folder has."""
        self._folder = folder
        self._uri = join(folder, VALIDATION_NAME)
        self._seen = {each.step: each for each in read_validations(self._uri)}

    def __call__(self, event: Event) -> None:
        """Write one event, where it is of that kind."""
        if isinstance(event, SampleGrid):
            write_atomic(join(self._folder, event.name), event.png)
        elif isinstance(event, Validation):
            # What was seen at later steps is of an attempt that was given up.
            kept = {step: each for step, each in self._seen.items() if step < event.step}
            self._seen = kept | {event.step: event}
            lines = [json.dumps(asdict(each)) + "\n" for each in self._seen.values()]
            write_atomic(self._uri, "".join(lines).encode())
