"""Sources named by a pattern: WebDataset's braces, and the stars of shells."""

import re
from collections.abc import Iterator

from storage.errors import SourceError
from storage.locations import exists, filesystem, join

_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(-?\d+)\.\.(-?\d+)(?:\.\.(-?\d+))?")
_GLOB = re.compile(r"[*?\[]")
_SPECIAL = re.compile(r"[*?\[{]")
_MAX_NAMES = 1_000_000


def is_pattern(uri: str) -> bool:
    """Whether a location has braces or stars after its protocol."""
    return _SPECIAL.search(uri.partition("://")[2] or uri) is not None


def expand_braces(pattern: str) -> Iterator[str]:
    """``{00..03}`` as four names with as many digits, ``{a,b}`` as two; all combinations.

    ``{0..9..3}`` goes in steps. Braces with one name inside, or none, are letters of the name.
    """
    for found in _BRACES.finditer(pattern):
        choices = _choices(found[1])
        if choices is not None:
            head, tail = pattern[: found.start()], pattern[found.end() :]
            for choice in choices:
                yield from expand_braces(f"{head}{choice}{tail}")
            return
    yield pattern


def _choices(inside: str) -> list[str] | None:
    counted = _RANGE.fullmatch(inside)
    if counted is None:
        return inside.split(",") if "," in inside else None
    first, last = int(counted[1]), int(counted[2])
    step = abs(int(counted[3] or 1)) or 1
    if abs(last - first) // step >= _MAX_NAMES:
        raise SourceError(f"{{{inside}}}: more than {_MAX_NAMES} names; give a folder")
    numbers = range(first, last + 1, step) if first <= last else range(first, last - 1, -step)
    padded = any(re.match(r"-?0\d", number) for number in counted.group(1, 2))
    width = max(len(counted[1]), len(counted[2])) if padded else 0
    return [str(number).zfill(width) for number in numbers]


def pattern_names(pattern: str) -> tuple[str, list[str]]:
    """The folder above a pattern's first special sign, and the names below it that are meant.

    Names that braces spell out are meant whether they are there or not: a missing one is told by
    who reads it.

    Raises:
        SourceError: nothing is there.
    """
    place = _SPECIAL.search(pattern, pattern.find("://") + 3 if "://" in pattern else 0)
    root = pattern[: place.start() if place else len(pattern)].rpartition("/")[0] or "/"
    names: dict[str, None] = {}
    some = False
    for uri in expand_braces(pattern):
        name = uri[len(root.rstrip("/")) + 1 :]
        is_glob = _GLOB.search(name) and not exists(uri)
        found = _globbed(root, name) if is_glob else [name]
        names |= dict.fromkeys(found)
        some = some or (bool(found) and any(exists(join(root, name)) for name in found[:1]))
        if len(names) > _MAX_NAMES:
            raise SourceError(f"{pattern}: more than {_MAX_NAMES} names; give a folder")
    if not some:
        raise SourceError(
            f"{pattern}: nothing there fits the pattern; expected files below {root}, such as "
            f"{next(expand_braces(pattern))}"
        )
    return root, list(names)


def _globbed(root: str, name: str) -> list[str]:
    fs, base = filesystem(root)
    found = sorted(str(path) for path in fs.glob(f"{base.rstrip('/')}/{name}"))
    below = [path[len(base.rstrip("/")) :].lstrip("/") for path in found]
    return [name for name in below if not any(part[:1] == "." for part in name.split("/"))]
