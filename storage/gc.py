"""Remove what no dataset version names: shards, and what broken-off writes left."""

from storage.errors import VersionError
from storage.layout import DATA_SUFFIXES, MARKER_SUFFIX, Place, Root
from storage.locations import TEMPORARY_PREFIX, join, names_in, remove
from storage.versions import list_versions, open_version


def collect_garbage(root: Place, *, dry_run: bool) -> list[str]:
    """URIs of the files that go; they are gone unless ``dry_run``. Run it while no build runs.

    Every published version stays whole. Temporary files in ``shards``, ``versions`` and
    ``plans`` go too.

    Raises:
        VersionError: no version is published, or one cannot be read: then nothing is removed.
    """
    place = Root.of(root)
    kept = {name for id_ in list_versions(place) for name in open_version(place, id_).shards}
    if not kept:
        raise VersionError(f"no version in {place}: everything would go, so nothing does")
    garbage = [
        join(folder, name)
        for folder in (place.plans, place.versions, place.shards)
        for name in names_in(folder)
        if name.startswith(TEMPORARY_PREFIX)
    ]
    for name in _marker_first(names_in(place.shards)):
        fingerprint, _, suffix = name.partition(".")
        if suffix in (*DATA_SUFFIXES, MARKER_SUFFIX) and fingerprint not in kept:
            garbage.append(join(place.shards, name))
    if not dry_run:
        for uri in garbage:
            remove(uri)
    return garbage


def _marker_first(names: list[str]) -> list[str]:
    # A marker without its files would be a broken shard; files without a marker are none.
    return sorted(names, key=lambda name: (not name.endswith(f".{MARKER_SUFFIX}"), name))
