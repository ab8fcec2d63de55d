"""Which cache a training may read: that of its base's frozen encoders and of its own examples.

A cache (``storage.caches``) is named by the digest of all that shapes what it holds: the files of
the VAE, the text encoders and their tokenizers, and the settings of crops, flips and captions. It
holds shards, not versions, so that it serves the next version but for the shards that are new. No
torch here.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from hcp.base_files import downloaded_file, is_hub_file, local_base
from hcp.tokens import TOKENS_VERSION
from hcp.training.config import TrainConfig
from storage.caches import Cache, cached_fingerprints, list_caches, read_card
from storage.canonical import digest_of
from storage.errors import CacheError, CheckpointError
from storage.versions import DatasetVersion

FORMAT = 1
"""Counts changes of what is cached and how; part of every cache's digest."""

PARTS = ("vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2")
_NOTES = ("_", "transformers_version", "architectures", "dtype", "torch_dtype")
"""Keys of a model's config that say who wrote it, and how: they change no output."""
_NAMED = 8  # differences in a message


def cache_settings(config: TrainConfig, parts: Mapping[str, str]) -> dict[str, Any]:
    """All that shapes a cache, plain JSON.

    Args:
        config: with a settled resolution (``TrainConfig.resolved``).
        parts: of the base, from ``base_parts``.
    """
    data, cache = config.data, config.cache
    return {
        "format": FORMAT,
        "base": dict(parts),
        "human_words": TOKENS_VERSION,
        "resolution_px": data.resolution_px,
        "aspects": sorted(data.aspects),
        "min_crop_scale": data.min_crop_scale,
        "flips": data.flip_probability > 0,
        "crops": cache.crops,
        "dtype": cache.dtype,
    }


def usable_cache(version: DatasetVersion, settings: Mapping[str, Any], base: str) -> Cache:
    """The cache that holds a version's shards for this base and these settings.

    Args:
        version: of the data.
        settings: from ``cache_settings``.
        base: id or folder of the base, for the message.
    Raises:
        CacheError: there is none; the message names what there is and how it differs.
    """
    wanted = Cache(root=version.root, settings=settings)
    there = list_caches(version.root)
    if wanted.digest not in there:
        raise CacheError(_refusal(wanted, there, base))
    found = read_card(version.root, wanted.digest)
    cached = cached_fingerprints(found)
    missing = [name for name in version.shards if name not in cached]
    if missing:
        raise CacheError(
            f"cache {found.digest} in {version.root} holds {len(version.shards) - len(missing)} of "
            f"the {len(version.shards)} shards of version {version.id}: `hcp cache` with the same "
            f"settings makes the others, first {missing[0]}; training.cache.use=off reads pixels"
        )
    return found


def _refusal(wanted: Cache, there: list[str], base: str) -> str:
    said = [
        f"no cache in {wanted.root} is of base {base!r} with these settings (it would be "
        f"{wanted.digest}); `hcp cache` makes one, training.cache.use=off reads pixels"
    ]
    for digest in there:
        try:
            other = read_card(wanted.root, digest)
        except CacheError as error:
            said.append(str(error))
            continue
        name = other.facts.get("base", "unknown")
        parts = list(differences(wanted.settings, other.settings))[:_NAMED]
        said.append(f"cache {digest} is of base {name!r}: {'; '.join(parts)}")
    return "\n".join(said)


def differences(wanted: Mapping[str, Any], found: Mapping[str, Any], at: str = "") -> Iterator[str]:
    """Each setting in which two caches differ, as a phrase."""
    for name in sorted(wanted.keys() | found.keys()):
        mine, other = wanted.get(name), found.get(name)
        if isinstance(mine, Mapping) and isinstance(other, Mapping):
            yield from differences(mine, other, f"{at}{name}.")
        elif mine != other:
            yield f"{at}{name} is {_short(other)}, this training has {_short(mine)}"


def _short(value: object) -> str:
    is_digest = isinstance(value, str) and len(value) == 32
    return str(value)[:12] if is_digest else str(value)


def settled(config: TrainConfig, base: str) -> TrainConfig:
    """The settings with the resolution that the base has, where they leave it open.

    Raises:
        CheckpointError: the base cannot be found, or does not say.
    """
    if config.data.resolution_px is not None:
        return config
    place = _place(base)
    if place.is_file():
        from hcp.single_file import settings_of

        with settings_of(place) as settings:
            side = _native_px(settings)
    else:
        side = _native_px(place)
    return replace(config, data=replace(config.data, resolution_px=side))


def _native_px(folder: Path) -> int:
    unet, vae = (_read_json(folder / part / "config.json") for part in ("unet", "vae"))
    return int(unet["sample_size"]) * 2 ** (len(vae["block_out_channels"]) - 1)


def base_parts(base: str) -> dict[str, str]:
    """Digests of a base's VAE, text encoders and tokenizers, from their files; loads no model.

    A model saved again, with the same weights under another version of its library, is the same.

    Raises:
        CheckpointError: the base, or its VAE, cannot be found.
    """
    place = _place(base)
    folder = place if place.is_dir() else place.with_suffix("")
    parts = {name: _digest(folder / name) for name in PARTS if (folder / name).is_dir()}
    if place.is_file():  # the folder beside it, if there is one, has its settings
        parts["file"] = _sha256(place)[:32]
    elif "vae" not in parts or "text_encoder" not in parts:
        raise CheckpointError(
            f"base model {base!r}: expected the folders vae and text_encoder in {folder}"
        )
    vae = folder / "vae" / "config.json"
    if vae.is_file() and _read_json(vae).get("latents_mean") is not None:
        parts["latents"] = "normalised"  # versions before this one cached and trained without
    if not (folder / "model_index.json").is_file():
        return parts
    index = _read_json(folder / "model_index.json")
    facts = {name: index.get(name) for name in ("_class_name", "force_zeros_for_empty_prompt")}
    return parts | {"pipeline": digest_of(facts)}


def base_digest(base: str) -> str:
    """Digest of a whole base, from its files or, of one on the hub, by its commit; loads no model.

    Raises:
        CheckpointError: it cannot be found.
    """
    place = _place(base)
    if place.is_dir() and not Path(base).expanduser().exists():
        return digest_of({"commit": place.name})
    folder = place if place.is_dir() else place.with_suffix("")
    others = [folder / name for name in ("unet", "scheduler") if (folder / name).is_dir()]
    return digest_of(base_parts(base) | {folder.name: _digest(folder) for folder in others})


def _place(base: str) -> Path:
    """The folder, or the single file, of a base; of one on the hub what is in its cache."""
    path = Path(base).expanduser()
    if path.exists():
        return path
    return (local_base(base) or downloaded_file(base)) if is_hub_file(base) else _snapshot(base)


def _snapshot(base: str) -> Path:
    from huggingface_hub import snapshot_download

    patterns = ["model_index.json", "unet/config.json", *(f"{name}/*" for name in PARTS)]
    ignored = ["*.bin", "*.msgpack", "*.onnx*"]
    try:
        found = Path(snapshot_download(
            base, allow_patterns=patterns, ignore_patterns=ignored, local_files_only=True
        ))  # fmt: skip
        if _weights(found / "vae"):
            return found
        return Path(snapshot_download(base, allow_patterns=patterns, ignore_patterns=ignored))
    except (OSError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"base model {base!r}: neither a folder, nor in the hub's cache, nor to be had from "
            f"the hub ({type(error).__name__}: {str(error)[:200]})"
        ) from error


def _weights(folder: Path) -> list[Path]:
    """The weights that load: those of no variant, else those of the one variant there is."""
    found = sorted(folder.glob("*.safetensors"))
    plain = [path for path in found if path.name.count(".") == 1]
    return plain or found


def _digest(folder: Path) -> str:
    files: dict[str, str] = {}
    for path in [*_weights(folder), *sorted(folder.glob("*.txt"))]:
        files[path.name] = _sha256(path)
    for path in sorted(folder.glob("*.json")):
        content = _read_json(path)
        kept = {k: v for k, v in content.items() if not k.startswith(_NOTES)}
        files[path.name] = digest_of(kept)
    return digest_of(files)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    return content
