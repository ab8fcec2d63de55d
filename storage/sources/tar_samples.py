"""Which members of a tar belong together: names in, samples out.

WebDataset cuts a member's name at the first dot: ``0001.input.jpg`` and ``0001.outputs.txt`` are
parts of the sample ``0001``. People's photos have dots in their names, too: of
``IMG.2024.05.01_1.jpg`` and ``IMG.2024.05.01_2.jpg``, each with its ``.txt``, each is a sample.
Members of one sample may stand anywhere in the tar.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from storage.sources.base import has_image_suffix
from storage.sources.captions import caption_fields
from storage.sources.folder_words import OTHER_PARTS, is_captions_folder, is_photo_folder

FIELDS_SUFFIX = "json"
_TEXT_SUFFIXES = ("txt", "caption", "cap")
_PICTURE_SUFFIXES = ("img", "image")  # as DALL-E's tars have them; what they hold tells the format
_PHOTO_PARTS = ("jpg", "image", "img", "photo", "picture", "input", "source", "original", "rgb")


@dataclass(frozen=True, slots=True, kw_only=True)
class TarSample:
    """One sample: positions of its members in the list of names that it was found in."""

    name: str  # of the photo's member; without a photo the stem
    photo: int | None
    sidecars: tuple[int, ...]  # texts and JSON; where several have a caption, the first's counts
    others: tuple[int, ...]  # neither: further pictures, masks, labels

    @property
    def members(self) -> tuple[int, ...]:
        """All of them."""
        photo = () if self.photo is None else (self.photo,)
        return (*photo, *self.sidecars, *self.others)


@dataclass(frozen=True, slots=True)
class _Name:
    """A member's name in its parts; ``stem`` and ``middle`` are those of WebDataset."""

    place: int
    stem: str  # folder, and the base up to its first dot
    middle: str  # between the first dot and the last, in lower case
    suffix: str  # after the last dot, in lower case
    full: str  # composed (NFC), in which spelling the others are, too

    @property
    def own_stem(self) -> str:
        """The name without its suffix."""
        return self.full[: -len(self.suffix) - 1]

    @property
    def role(self) -> str:
        """The last part of the middle: ``input`` of ``0001.input.jpg``."""
        return self.middle.rpartition(".")[2]

    @property
    def is_picture(self) -> bool:
        return has_image_suffix(f"x.{self.suffix}") or self.suffix in _PICTURE_SUFFIXES

    @property
    def is_sidecar(self) -> bool:
        known = (FIELDS_SUFFIX, *_TEXT_SUFFIXES)
        return self.suffix in known or bool(caption_fields([self.suffix]))


def is_member_name(name: str) -> bool:
    """Whether a member can be part of a sample: visible, and with a suffix."""
    base = name.rpartition("/")[2]
    return "." in base and not base.startswith(".")


def is_sidecar_name(name: str) -> bool:
    """Whether a member's name is that of a caption, as text or JSON."""
    return is_member_name(name) and _parted(0, name).is_sidecar


def group_members(names: Sequence[str]) -> list[TarSample]:
    """The samples that members' names form, in the order in which each begins.

    A name that comes again begins a sample of its own. Of names for which :func:`is_member_name`
    is false, and of those that are no part of a sample (a README), none is in any.
    """
    seen: dict[str, int] = {}
    groups: dict[tuple[str, int], list[_Name]] = {}
    for place, name in enumerate(names):
        if is_member_name(name):
            n = seen[name] = seen.get(name, 0) + 1
            parts = _parted(place, name)
            groups.setdefault((parts.stem, n), []).append(parts)
    samples = [sample for group in groups.values() for sample in _samples(group, names)]
    if any(sample.photo is None for sample in samples):
        samples = _paired(samples)
    return sorted(samples, key=lambda sample: min(sample.members))


def _paired(samples: list[TarSample]) -> list[TarSample]:
    """Samples, those of ``captions/a.txt`` joined to those of ``images/a.jpg``, if one each."""
    photos: dict[str, list[TarSample]] = {}
    texts: dict[str, list[TarSample]] = {}
    for sample in samples:
        *folders, stem = _stem(sample.name).split("/")
        if sample.photo is not None and not sample.sidecars:
            kept = [name for name in folders if not is_photo_folder(name)]
            photos.setdefault("/".join([*kept, stem]), []).append(sample)
        elif sample.photo is None and any(map(is_captions_folder, folders)):
            kept = [name for name in folders if not is_captions_folder(name)]
            texts.setdefault("/".join([*kept, stem]), []).append(sample)
    joined: dict[int, TarSample] = {}
    for key, found in texts.items():
        if len(found) == 1 == len(photos.get(key, [])):
            (photo,), (text,) = photos[key], found
            others = (*photo.others, *text.others)
            joined[photo.members[0]] = replace(photo, sidecars=text.sidecars, others=others)
            joined[text.members[0]] = text
    kept = [sample for sample in samples if sample.members[0] not in joined]
    return [*kept, *(sample for sample in joined.values() if sample.photo is not None)]


def _parted(place: int, name: str) -> _Name:
    full = unicodedata.normalize("NFC", name)
    middle, _, suffix = full.rpartition("/")[2].partition(".")[2].rpartition(".")
    return _Name(place, _stem(full), middle.lower(), suffix.lower(), full)


def _samples(group: list[_Name], names: Sequence[str]) -> Iterator[TarSample]:
    """The samples among members of one stem: one, but where dots are part of the photos' names."""
    if not any(name.is_picture or name.is_sidecar for name in group):
        return
    alone = _named_with_dots(group)
    parts: dict[str, list[_Name]] = {picture.own_stem: [] for picture in alone}
    left: list[_Name] = []
    for name in group:
        if name not in alone:
            owners = [stem for stem in parts if name.full.startswith(f"{stem}.")]
            parts[max(owners, key=len)].append(name) if owners else left.append(name)
    for picture in alone:
        yield _sample(picture, parts[picture.own_stem], names)
    if left:
        photo = _photo([name for name in left if name.is_picture])
        yield _sample(photo, [name for name in left if name is not photo], names)


def _named_with_dots(group: list[_Name]) -> list[_Name]:
    """The pictures of one stem that are no parts of one sample, but photos on their own."""
    pictures = [name for name in group if name.is_picture]
    if len(pictures) < 2:
        return []
    stems = {name.own_stem for name in group if name.is_sidecar}
    alone = [
        picture
        for picture in pictures
        if picture.middle
        and picture.role not in OTHER_PARTS
        and (picture.own_stem in stems or picture.full in stems)
    ]
    others = [picture for picture in pictures if picture not in alone]
    shared = any(name.middle == "" and name.is_sidecar for name in group)
    if shared or any(_is_part(picture) for picture in others):
        return alone
    return pictures if len({p.own_stem for p in pictures}) == len(pictures) else alone


def _is_part(picture: _Name) -> bool:
    return not picture.middle or picture.role in OTHER_PARTS or picture.role in _PHOTO_PARTS


def _photo(pictures: list[_Name]) -> _Name | None:
    """The one of some pictures of a sample that is its photo."""
    photos = [picture for picture in pictures if picture.role not in OTHER_PARTS]
    order = {role: rank for rank, role in enumerate(("", *_PHOTO_PARTS))}
    return min(photos, key=lambda picture: order.get(picture.role, len(order)), default=None)


def _sample(photo: _Name | None, parts: list[_Name], names: Sequence[str]) -> TarSample:
    def rank(sidecar: _Name) -> tuple[int, int]:
        # Text before JSON; a text of another name (0001.outputs.txt) only where nothing else is.
        stems = (photo.own_stem, photo.full) if photo else ()
        own = sidecar.own_stem in stems
        near = stems.index(sidecar.own_stem) if own else 2 if not sidecar.middle else 3
        if sidecar.suffix == FIELDS_SUFFIX:
            return 1, near
        named = near < 3 or bool(caption_fields([sidecar.role]))
        return (0 if named else 2), near

    sidecars = sorted((name for name in parts if name.is_sidecar), key=rank)
    return TarSample(
        name=names[photo.place] if photo else _stem(names[parts[0].place]),
        photo=photo.place if photo else None,
        sidecars=tuple(sidecar.place for sidecar in sidecars),
        others=tuple(name.place for name in parts if not name.is_sidecar),
    )


def _stem(name: str) -> str:
    folder, slash, base = name.rpartition("/")
    return f"{folder}{slash}{base.partition('.')[0]}"
