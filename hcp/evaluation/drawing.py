"""Who draws an evaluation's pictures and probes its photos: this process, or others before it.

Both go batch by batch from the first one on, and a batch depends on nothing outside it: a part that
begins and ends where batches do has the bits that it has in the whole.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

from hcp.base import BasePipeline
from hcp.evaluation.base_pictures import BasePictures, device_facts
from hcp.evaluation.generation import Image8, attached, generate
from hcp.evaluation.mechanism import PHOTOS_AT_ONCE, PhotoMaps, probe_photos
from hcp.evaluation.results import BASE, EvaluationConfig, PictureSet
from hcp.training.methods.trained import Trained
from storage.errors import HcpError
from storage.records import Sample

OnDrawn = Callable[[int], None]
"""Takes how many pictures of a set were drawn so far."""
OnDone = Callable[[str, int], None]
"""Takes an arm, and how many more of its pictures were drawn or of its photos probed."""


class Drawing(Protocol):
    """What an evaluation asks for pictures and attention maps."""

    def pictures(
        self, arm: str, wanted: PictureSet, *, on_drawn: OnDrawn | None = None
    ) -> Iterator[Image8]:
        """One arm's pictures, in the set's order."""
        ...

    def maps(self, arm: str, photos: Sequence[Sample]) -> list[PhotoMaps]:
        """One trained arm's attention on held-out photos."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Some of what is to be drawn: pictures of a set, or maps of photos, of one arm."""

    arm: str
    wanted: PictureSet | None  # None: the held-out photos
    start: int
    stop: int

    @property
    def size(self) -> int:
        """How many pictures or photos."""
        return self.stop - self.start


@dataclass(frozen=True, slots=True, kw_only=True)
class PartDone:
    """What came of a part."""

    part: Part
    images: tuple[Image8, ...] = ()
    maps: tuple[PhotoMaps, ...] = ()  # photos without human words or masks are left out
    device: str = ""  # what drew it, as ``DrawnHere.device`` has it


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnHere:
    """Draws and probes in this process, with the base and what was trained."""

    pipeline: BasePipeline
    trained: Mapping[str, Trained]  # by arm, without the base
    config: EvaluationConfig
    kept: BasePictures | None = None  # where the base's pictures may lie already
    on_done: OnDone | None = None

    @property
    def device(self) -> str:
        """What may round pictures otherwise than another: the kind of GPU, or of CPU and threads.

        Pictures of different ones need not agree to the bit.
        """
        return " ".join(map(str, device_facts(str(self.pipeline.device))))

    def pictures(
        self, arm: str, wanted: PictureSet, *, on_drawn: OnDrawn | None = None
    ) -> Iterator[Image8]:
        """One arm's pictures; the base's kept ones are not drawn again."""
        whole = Part(arm=arm, wanted=wanted, start=0, stop=len(wanted.pictures()))

        def draw() -> list[Image8]:
            return list(self.draw(whole, on_drawn=on_drawn))

        if arm == BASE and self.kept is not None:
            return iter(self.kept.or_drawn(draw, wanted))
        return self.draw(whole, on_drawn=on_drawn)

    def draw(self, part: Part, *, on_drawn: OnDrawn | None = None) -> Iterator[Image8]:
        """The pictures of a part of a set.

        Raises:
            CheckpointError: what was trained does not fit the pipeline.
        """
        assert part.wanted is not None
        config, adapter = self.config, self.trained.get(part.arm)
        left = iter(part.wanted.pictures()[part.start : part.stop])
        done = 0
        with attached(self.pipeline, adapter):
            while pairs := list(islice(left, config.batch_size)):
                prompts, seeds = zip(*pairs, strict=True)
                yield from generate(
                    self.pipeline, prompts, seeds=seeds, steps=config.steps,
                    guidance=config.guidance, adapter=adapter, batch_size=config.batch_size,
                )  # fmt: skip
                done += len(pairs)
                if on_drawn is not None:
                    on_drawn(done)
                if self.on_done is not None:
                    self.on_done(part.arm, len(pairs))

    def maps(self, arm: str, photos: Sequence[Sample]) -> list[PhotoMaps]:
        """One trained arm's attention on held-out photos."""
        total_steps = int(self.pipeline.scheduler.config.num_train_timesteps)
        timesteps = [int(level * total_steps) for level in self.config.noise_levels]
        adapter, found = self.trained[arm], list[PhotoMaps]()
        for start in range(0, len(photos), PHOTOS_AT_ONCE):
            batch = photos[start : start + PHOTOS_AT_ONCE]
            found += probe_photos(self.pipeline, batch, adapter=adapter, timesteps=timesteps)
            if self.on_done is not None:
                self.on_done(arm, len(batch))
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnBefore:
    """What other processes drew and probed; what they did not is done here."""

    here: DrawnHere
    done: Sequence[PartDone] = field(default_factory=list[PartDone])

    def pictures(
        self, arm: str, wanted: PictureSet, *, on_drawn: OnDrawn | None = None
    ) -> Iterator[Image8]:
        """One arm's pictures; the base's are kept, where something of this kind drew them all."""
        own = self._own(arm, wanted)
        if not own:
            return self.here.pictures(arm, wanted, on_drawn=on_drawn)
        images = [image for each in own for image in each.images]
        _check_whole(arm, len(images), len(wanted.pictures()))
        same = {each.device for each in own} == {self.here.device}
        if arm == BASE and self.here.kept is not None and same:
            return iter(self.here.kept.or_drawn(lambda: images, wanted))
        return iter(images)

    def maps(self, arm: str, photos: Sequence[Sample]) -> list[PhotoMaps]:
        """One trained arm's attention on held-out photos."""
        own = self._own(arm, None)
        if not own:
            return self.here.maps(arm, photos)
        _check_whole(arm, sum(each.part.size for each in own), len(photos))
        return [maps for each in own for maps in each.maps]

    def _own(self, arm: str, wanted: PictureSet | None) -> list[PartDone]:
        own = [each for each in self.done if (each.part.arm, each.part.wanted) == (arm, wanted)]
        return sorted(own, key=lambda each: each.part.start)


def parts_of(
    wanted: Iterable[tuple[str, PictureSet]],
    *,
    probed: Iterable[str],
    n_photos: int,
    batch_size: int,
    n_parts: int,
) -> list[Part]:
    """Cut what is to be drawn and probed into about so many parts of whole batches.

    Args:
        wanted: arms and their sets of pictures.
        probed: arms whose attention on ``n_photos`` held-out photos is wanted.
    """
    sets = [(arm, each, len(each.pictures())) for arm, each in wanted]
    most = max(1, -(-sum(n for _, _, n in sets) // n_parts))
    parts = [
        part for arm, each, n in sets for part in _cut(arm, each, n, most=most, batch=batch_size)
    ]
    for arm in probed:
        share = max(1, -(-n_photos // n_parts))
        parts += _cut(arm, None, n_photos, most=share, batch=PHOTOS_AT_ONCE)
    return parts


def _cut(
    arm: str, wanted: PictureSet | None, total: int, *, most: int, batch: int
) -> Iterator[Part]:
    step = -(-most // batch) * batch
    for start in range(0, total, step):
        yield Part(arm=arm, wanted=wanted, start=start, stop=min(total, start + step))


def _check_whole(arm: str, got: int, expected: int) -> None:
    if got != expected:
        raise HcpError(
            f"the workers drew {got} pictures of the {arm}, the evaluation needs {expected}: their "
            "settings or code differ from this process's; install the same version on every node"
        )
