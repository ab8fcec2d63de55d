"""Remove what no dataset version names: shards, their caches, notes of retries, broken-off work."""

from collections.abc import Iterator, Set

from storage.caches import CARD, EMPTY, cache_files
from storage.errors import VersionError
from storage.layout import DATA_SUFFIXES, MARKER_SUFFIX, Place, Root
from storage.locations import (
    TEMPORARY_PREFIX,
    files_below,
    is_directory,
    join,
    names_in,
    remove,
    remove_folder,
    stems_in,
)
from storage.plan import open_plan
from storage.retries import noted_shard, retried_units
from storage.versions import list_versions, open_version


def collect_garbage(root: Place, *, dry_run: bool) -> list[str]:
    """URIs of the files that go; they are gone unless ``dry_run``. Run it while no build runs.

    Every published version stays whole, and so do plans and run logs. What goes: shards that no
    version names, and what caches hold of them; notes of retries whose shard no version names or
    whose unit nothing uses, shards of retries that broke off before they were merged, temporary
    files.

    Raises:
        VersionError: no version is published, or one cannot be read: then nothing is removed.
        ShardError: so with a note of a retry or a plan.
    """
    place = Root.of(root)
    kept = {name for id_ in list_versions(place) for name in open_version(place, id_).shards}
    if not kept:
        raise VersionError(f"no version in {place}: everything would go, so nothing does")
    scratch = list(_scratch(place))
    garbage = [*_temporary(place), *_useless_notes(place, kept), *_unnamed_shards(place, kept)]
    garbage += _unnamed_caches(place, kept)
    for work in scratch:
        garbage += files_below(work.uri)
    if not dry_run:
        for uri in garbage:
            remove(uri)
        for work in scratch:
            if is_directory(work.uri):  # of a local disk: on an object store it went with its files
                remove_folder(work.uri)
    return garbage


def _temporary(root: Root) -> Iterator[str]:
    for folder in (root.plans, root.versions, root.shards, root.runs, root.retries):
        for name in names_in(folder):
            if name.startswith(TEMPORARY_PREFIX):
                yield join(folder, name)


def _useless_notes(root: Root, kept: Set[str]) -> Iterator[str]:
    noted = sorted(retried_units(root))
    unused = set(noted) - kept
    for plan_id in stems_in(root.plans, ".parquet") if noted else ():
        if not unused:
            break
        unused.difference_update(open_plan(root, plan_id).fingerprints())
    for unit in noted:
        if unit in unused or noted_shard(root, unit) not in kept:
            yield root.retry_note(unit)


def _unnamed_shards(root: Root, kept: Set[str]) -> Iterator[str]:
    names = names_in(root.shards)
    for name in sorted(names, key=_marker_first):
        fingerprint, _, suffix = name.partition(".")
        if suffix in (*DATA_SUFFIXES, MARKER_SUFFIX) and fingerprint not in kept:
            yield join(root.shards, name)


def _unnamed_caches(root: Root, kept: Set[str]) -> Iterator[str]:
    """Cached shards; what else is in a cache in which none is left; what was never finished."""
    files = cache_files(root)
    used = {folder for folder, name in files if name.partition(".")[0] in kept}
    for folder, name in sorted(files, key=lambda each: _marker_first(each[1])):
        fingerprint, _, suffix = name.partition(".")
        if name in (CARD, EMPTY):
            unused = folder not in used
        else:
            unused = suffix in ("tar", MARKER_SUFFIX) and fingerprint not in kept
        if unused or name.startswith(TEMPORARY_PREFIX):
            yield root.cached(folder, name)


def _marker_first(name: str) -> tuple[bool, str]:
    # a marker without its files would be a broken shard, files without a marker are none
    return not name.endswith(f".{MARKER_SUFFIX}"), name


def _scratch(root: Root) -> Iterator[Root]:
    """The roots of retries that broke off."""
    start = root.retry_work("").uri
    below = (uri for uri in files_below(root.retries) if uri.startswith(start))
    for plan_id in sorted({uri[len(start) :].partition("/")[0] for uri in below}):
        yield root.retry_work(plan_id)
