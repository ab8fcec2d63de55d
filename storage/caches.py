"""Caches: samples as a training's frozen models see them, beside the shards that they come from.

``<root>/caches/<digest>/`` holds ``cache.json`` (the settings, whose digest is the folder's name)
and, for each shard that was cached, ``<fingerprint>.tar`` with its marker ``<fingerprint>.json``,
which is written last. A version has a cache where all its shards do, so that the next version only
adds what is new. What the members are is known to their writer alone (``hcp.training.cache``).
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from storage.canonical import canonical_json, digest_of
from storage.errors import CacheError, ShardError
from storage.layout import MARKER_SUFFIX, Root
from storage.locations import (
    Staging,
    exists,
    file_size,
    files_below,
    local_copy,
    read_bytes,
    staging,
    stems_in,
    write_atomic,
)
from storage.markers import read_shard_info
from storage.shard_cache import OpenTar

CARD = "cache.json"
EMPTY = "empty.safetensors"
"""What the text encoders make of no caption, the same for all samples."""
BAD = "bad.json"
"""The only member of a sample that could not be encoded: ``{"reason": ...}``."""
FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """One cache of a data set; it need not exist yet."""

    root: Root
    settings: Mapping[str, Any]  # all that shapes what is cached, plain JSON
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])  # not part of the digest

    @property
    def digest(self) -> str:
        """16 hex digits of the settings: the folder's name."""
        return digest_of(self.settings, hex_digits=16)

    @property
    def uri(self) -> str:
        """The folder."""
        return self.file(CARD).removesuffix(f"/{CARD}")

    def file(self, name: str) -> str:
        """The place of one of its files."""
        return self.root.cached(self.digest, name)


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedShard:
    """What the marker of a cached shard says."""

    fingerprint: str
    source: str  # sha256 of the shard's tar that was encoded
    n_samples: int  # those that could not be encoded included
    bad: Mapping[str, str]  # key -> why it could not be encoded
    sha256: str  # of the cache's tar
    size_bytes: int


def write_card(cache: Cache) -> None:
    """Say what the folder holds, where it does not yet."""
    if exists(cache.file(CARD)):
        return
    card = {"format": FORMAT, "settings": cache.settings, "facts": cache.facts}
    text = json.dumps(card, sort_keys=True, ensure_ascii=False, allow_nan=False, indent=1)
    write_atomic(cache.file(CARD), text.encode())


def read_card(root: Root, digest: str) -> Cache:
    """The cache of that name.

    Raises:
        CacheError: there is none, or its card is broken.
    """
    uri = root.cached(digest, CARD)
    try:
        card = json.loads(read_bytes(uri))
        cache = Cache(root=root, settings=card["settings"], facts=card["facts"])
        if card["format"] != FORMAT or cache.digest != digest:
            raise ValueError(f"format {card['format']} and settings of digest {cache.digest}")
    except FileNotFoundError as error:
        raise CacheError(f"there is no cache {digest} in {root}") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CacheError(f"{uri}: not the card of cache {digest}: {error}") from error
    return cache


def list_caches(root: Root) -> list[str]:
    """Digests of all caches, sorted."""
    return sorted({folder for folder, name in cache_files(root) if name == CARD})


def cache_files(root: Root) -> list[tuple[str, str]]:
    """(cache, file name) of all files in caches, sorted."""
    start = f"{root.caches}/"
    parts = (uri.removeprefix(start).rpartition("/") for uri in files_below(root.caches))
    return [(folder, name) for folder, _, name in parts]


def cached_fingerprints(cache: Cache) -> set[str]:
    """The shards that are cached."""
    stems = stems_in(cache.uri, f".{MARKER_SUFFIX}")
    return set(stems) - {CARD.removesuffix(f".{MARKER_SUFFIX}")}


def read_cached_shard(cache: Cache, fingerprint: str) -> CachedShard:
    """What the marker says.

    Raises:
        CacheError: the shard is not cached, or its marker is broken.
    """
    uri = cache.file(f"{fingerprint}.{MARKER_SUFFIX}")
    try:
        fields = json.loads(read_bytes(uri))
        return CachedShard(**fields)
    except FileNotFoundError as error:
        raise CacheError(f"shard {fingerprint} is not in cache {cache.uri}") from error
    except (OSError, ValueError, TypeError) as error:
        raise CacheError(f"{uri}: not a cached shard's marker: {error}") from error


def is_cached(cache: Cache, fingerprint: str) -> bool:
    """Whether a committed shard is in the cache as it is now, and its file has its size."""
    try:
        info = read_cached_shard(cache, fingerprint)
    except CacheError:
        return False
    same = info.source == read_shard_info(cache.root, fingerprint).digests["tar"]
    return same and file_size(cache.file(f"{fingerprint}.tar")) == info.size_bytes


def commit_cached(
    cache: Cache, fingerprint: str, samples: Iterable[tuple[str, Mapping[str, bytes]]]
) -> CachedShard:
    """Write a cached shard: its tar under a temporary name first, the marker last.

    Args:
        cache: where to.
        fingerprint: of the committed shard that the samples come from.
        samples: its keys in their order, each with its members by suffix; streamed.

    Raises:
        CacheError: it cannot be written, or keys are missing; nothing of it is left then.
        ShardError: the shard is not committed.
    """
    source = read_shard_info(cache.root, fingerprint)
    tar, marker = f"{fingerprint}.tar", f"{fingerprint}.{MARKER_SUFFIX}"
    try:
        write_card(cache)
        with staging(cache.uri) as stage:
            n_samples, bad = _write_tar(stage, tar, samples)
            if n_samples != source.n_samples:
                got = f"expected {source.n_samples} samples, got {n_samples}"
                raise CacheError(f"cache {cache.uri}, shard {fingerprint}: {got}")
            with stage.path(tar).open("rb") as file:
                info = CachedShard(
                    fingerprint=fingerprint,
                    source=source.digests["tar"],
                    n_samples=n_samples,
                    bad=bad,
                    sha256=hashlib.file_digest(file, "sha256").hexdigest(),
                    size_bytes=file.tell(),
                )
            stage.path(marker).write_text(canonical_json(asdict(info)), encoding="utf-8")
            stage.flush(marker)
            for name in (tar, marker):
                stage.publish(name)
                stage.sync_directory()
    except OSError as error:
        raise CacheError(
            f"cannot write shard {fingerprint} of cache {cache.uri}: {error.strerror or error}; "
            "nothing of it counts, run again when this is solved"
        ) from error
    return info


def _write_tar(
    stage: Staging, name: str, samples: Iterable[tuple[str, Mapping[str, bytes]]]
) -> tuple[int, dict[str, str]]:
    count, bad = 0, dict[str, str]()
    with tarfile.open(stage.path(name), "w", format=tarfile.USTAR_FORMAT) as tar:
        for key, members in samples:
            count += 1
            if BAD in members:
                bad[key] = str(json.loads(members[BAD])["reason"])
            for suffix, data in members.items():
                member = tarfile.TarInfo(f"{key}.{suffix}")  # mtime, uid, gid are 0
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    stage.flush(name)
    return count, bad


def verify_cached(cache: Cache, fingerprint: str) -> None:
    """Read a cached shard whole.

    Raises:
        CacheError, ShardError: it is not what its marker says; OSError: it cannot be read.
    """
    info, uri = read_cached_shard(cache, fingerprint), cache.file(f"{fingerprint}.tar")
    with local_copy(uri) as path, path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != info.sha256:
            raise CacheError(f"{uri}: its sha256 is not the one in the marker")
    n_samples = len(CachedTar(cache, fingerprint).list_keys())
    if n_samples != info.n_samples:
        raise CacheError(f"{uri}: expected {info.n_samples} samples, got {n_samples}")


class CachedTar:
    """An open tar of cached samples; threads may read it at once.

    Of an object store the whole tar is fetched first: samples are wanted in another order.
    """

    def __init__(self, cache: Cache, fingerprint: str) -> None:
        """Open a cached shard.

        Raises:
            ShardError: it is not cached, was made of other bytes than the shard has now, or is
                broken.
        """
        self.uri = cache.file(f"{fingerprint}.tar")
        try:
            info = read_cached_shard(cache, fingerprint)
        except CacheError as error:
            raise ShardError(str(error)) from error
        if info.source != read_shard_info(cache.root, fingerprint).digests["tar"]:
            raise ShardError(f"{self.uri} was made of another shard than {fingerprint} is now")
        self._tar = OpenTar(self.uri)
        if self._tar.size_bytes != info.size_bytes:
            got = f"{info.size_bytes} bytes were written, {self._tar.size_bytes} found"
            raise ShardError(f"cached shard {self.uri} cannot be read: {got}")

    def list_keys(self) -> tuple[str, ...]:
        """The samples' keys, in the shard's order."""
        return self._tar.list_keys()

    def suffixes(self, key: str) -> tuple[str, ...]:
        """The members that a sample has."""
        return tuple(self._tar.places[key])

    def read(self, key: str, suffix: str) -> bytes:
        """One member of one sample.

        Raises:
            ShardError: the sample could not be encoded, or has no such member.
        """
        if BAD in self._tar.places.get(key, {}):
            reason = json.loads(self._tar.read(key, BAD))["reason"]
            raise ShardError(f"{self.uri} sample {key}: it could not be encoded: {reason}")
        return self._tar.read(key, suffix)
