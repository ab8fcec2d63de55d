"""Several dataset versions in one training: which, and how much of each. No torch."""

from collections.abc import Sequence
from dataclasses import replace

from hcp.training.config import Mixed, TrainConfig
from hcp.training.methods.names import NEEDS_PEOPLE, split_method
from storage.errors import VersionError
from storage.mixing import MixedStream
from storage.people import people_in
from storage.streaming import SampleStream, split_size
from storage.versions import DatasetVersion, open_version, split_dataset


def settle_mix(config: TrainConfig) -> TrainConfig:
    """The same with exact versions: ``latest`` is looked up here, once, and nowhere later.

    Raises:
        VersionError: a version does not exist.
    """
    also = [(each, open_version(*split_dataset(each.dataset))) for each in config.data.also]
    settled = tuple(replace(each, dataset=f"{v.root}@{v.id}") for each, v in also)
    return replace(config, data=replace(config.data, also=settled))


def check_data(version: DatasetVersion, config: TrainConfig) -> None:
    """See that the data can train the method, before anything is loaded or started.

    Raises:
        VersionError: a version of the mix is missing, named twice or has no training sample; or
            the method needs people with human words, and there are none in the whole mix.
    """
    versions = open_mix(version, config.data.also)
    if split_method(config.method)[0] in NEEDS_PEOPLE:
        require_people(versions)


def open_mix(version: DatasetVersion, also: Sequence[Mixed]) -> tuple[DatasetVersion, ...]:
    """All versions of a training, its ``dataset`` first.

    Raises:
        VersionError: one does not exist, has no training sample, or is named twice.
    """
    versions = (version, *(open_version(*split_dataset(each.dataset)) for each in also))
    for number, each in enumerate(versions):
        if each.id in [other.id for other in versions[:number]]:
            raise VersionError(
                f"version {each.id} is named twice in the mix; data.also's weight or repeats say "
                "how much of it comes"
            )
        if split_size(each, "train") == 0:
            raise VersionError(f"version {each.id} in {each.root} has no train samples")
    return versions


def mixed_stream(
    streams: Sequence[SampleStream], also: Sequence[Mixed]
) -> SampleStream | MixedStream:
    """The training samples of the versions of :func:`open_mix` in their one order."""
    if len(streams) == 1:
        return streams[0]
    rates = [1.0]
    for each, stream in zip(also, streams[1:], strict=True):
        passes = stream.size / streams[0].size * (each.repeats or 1)
        rates.append(passes if each.weight is None else each.weight)
    return MixedStream(streams, rates)


def mix_name(version_id: str, also: Sequence[Mixed]) -> str:
    """What a card, a registry or a report says of the data: every version, and how much of each."""
    named = [f"{split_dataset(each.dataset)[1]} ({each.amount})" for each in also]
    return " + ".join([version_id, *named])


def require_people(versions: Sequence[DatasetVersion]) -> None:
    """Refuse data that teaches nothing about people; reads the shards' rows until it finds some.

    For methods that need priors, before anything is loaded.

    Raises:
        VersionError: no training sample of all versions has a person who passed the gate, or none
            of those who have one has a human word in its caption.
    """
    people = False
    for version in versions:
        found = people_in(version)
        if found == "words":
            return
        people = people or found == "people"
    names = ", ".join(f"{version.id} in {version.root}" for version in versions)
    lacks = "has a caption with a human word" if people else "shows a person who passed the gate"
    raise VersionError(
        f"no training photo of version {names} {lacks}, so that there is nothing to learn about "
        "people: expected photos of people with captions that name them (`hcp inspect` shows what "
        "there is); training.method 'lora' or 'full' needs neither"
    )
