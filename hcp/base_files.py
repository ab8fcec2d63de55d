"""Which folder or file on this disk a base's name stands for, and whether its files are whole.

A base is named by a folder in diffusers layout, by a ``.safetensors`` file, by a hub id
(``owner/name``), or by a file of the hub, as its page's address or ``owner/name/file.safetensors``.
No torch here.
"""

import logging
import re
from collections.abc import Callable, Iterable, Sequence
from math import prod
from pathlib import Path
from urllib.parse import unquote

from huggingface_hub import HfApi, constants, hf_hub_download, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, RepositoryNotFoundError

from storage.errors import CheckpointError
from storage.weight_files import PICKLES, not_a_model_file, tensor_shapes

logger = logging.getLogger(__name__)

ENCODERS = ("vae", "text_encoder", "text_encoder_2")
"""What a training from a cache does without."""
WEIGHTS_SUFFIX = ".safetensors"
_SETTINGS = ("scheduler", "tokenizer", "tokenizer_2", "feature_extractor")

HUB_TIMEOUT_S = 10.0
_UNREACHABLE = (HfHubHTTPError, OSError, RuntimeError, ValueError)
_HUB_ID = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")
_HUB_FILE = re.compile(
    r"(?P<repo>\w[\w.-]*/\w[\w.-]*)/((blob|resolve)/(?P<revision>[^/]+)/)?"
    r"(?P<file>(\w[^/]*/)*[^/]+\.safetensors)(\?.*)?",
    re.IGNORECASE,
)
_PAGES = ("huggingface.co/", "hf.co/")  # as diffusers' from_single_file takes them
_WEIGHTS = re.compile(r"(?P<part>\w+)/[\w-]+(\.(?P<variant>\w+))?(-\d+-of-\d+)?\.safetensors")
_PREFERRED = ("fp32", "bf16", "fp16")
_SHOWN = 4  # files named in an error


def local_base(name: str) -> Path | None:
    """The folder or file that is meant and that lies here, or in the hub's cache; None: neither.

    A path that exists is never taken for a name of the hub. Nobody is asked.
    """
    path = Path(name).expanduser()
    if path.exists():
        return path
    if (file := _hub_file(name)) is not None:
        repo, revision, inside = file
        return _cached(
            lambda: hf_hub_download(repo, inside, revision=revision, local_files_only=True)
        )
    if not _is_hub_id(name):
        return None
    return _cached(lambda: snapshot_download(name, local_files_only=True))


def is_hub_file(name: str) -> bool:
    """Whether a name that is no path has the form of a single file of the hub."""
    return _hub_file(name) is not None


def downloaded_file(name: str) -> Path:
    """A single file of the hub, fetched after one question with a short timeout.

    Raises:
        CheckpointError: the hub cannot be asked, or has no such file; the message says what was
            tried.
    """
    found = _hub_file(name)
    assert found is not None
    repo, revision, inside = found
    there = files_on_hub(name, repo, revision=revision)
    if inside not in there:
        others = [file for file in there if file.endswith(WEIGHTS_SUFFIX) and "/" not in file]
        raise CheckpointError(
            f"base model {name!r}: {repo} has no file {inside}; its single files are "
            f"{', '.join(others[:_SHOWN]) or 'none'}"
        )
    logger.info("downloading base model %s", name)
    try:
        return Path(hf_hub_download(repo, inside, revision=revision))
    except _UNREACHABLE as error:
        raise CheckpointError(
            f"base model {name!r}: {inside} could not be downloaded from {repo} "
            f"({type(error).__name__}: {str(error)[:200]})"
        ) from error


def files_on_hub(name: str, repo: str, *, revision: str | None = None) -> list[str]:
    """The files of a repository of the hub.

    Args:
        name: the base's, for messages.
        repo: ``owner/name``.
        revision: branch, tag or commit; None: main.
    Raises:
        CheckpointError: no such repository, or the hub cannot be asked; the message says what was
            tried.
    """
    if not _is_hub_id(repo):
        raise CheckpointError(
            f"base model {name!r}: neither a directory nor a file "
            f"({Path(name).expanduser()} does not exist), and not a hub id (expected owner/name)"
        )
    tried = f"directory {Path(name).resolve()}; hub cache {constants.HF_HUB_CACHE}"
    if constants.HF_HUB_OFFLINE:
        raise CheckpointError(
            f"base model {name!r} not found. Tried: {tried}. The hub itself was not asked because "
            "HF_HUB_OFFLINE is set"
        )
    # One request with a timeout: diffusers itself would retry for minutes on a dead network.
    try:
        info = HfApi().model_info(repo, revision=revision, timeout=HUB_TIMEOUT_S)
        return [file.rfilename for file in info.siblings or ()]
    except Exception as error:
        if isinstance(error, RepositoryNotFoundError | HFValidationError):
            why = "(no such model, or it is private or gated and no token is set)"
        # The hub client's HTTP library changed with its major version (requests, now httpx); its
        # connection errors share no base class with ours.
        elif isinstance(error, _UNREACHABLE) or "http" in type(error).__module__:
            why = f"could not be reached ({type(error).__name__}: {str(error)[:200]})"
        else:
            raise
        raise CheckpointError(
            f"base model {name!r} not found. Tried: {tried}; hub {constants.ENDPOINT} {why}"
        ) from error


def weights_variant(names: Iterable[str]) -> str | None:
    """The variant of the weights among a pipeline's files that is there without the plain ones.

    Args:
        names: as ``unet/diffusion_pytorch_model.fp16.safetensors``, in any order.
    """
    variants: dict[str, set[str | None]] = {}
    for found in filter(None, map(_WEIGHTS.fullmatch, names)):
        variants.setdefault(found["part"], set()).add(found["variant"])
    only = {
        variant
        for part in ("unet", *ENCODERS)
        if None not in (known := variants.get(part, {None}))
        for variant in known
        if variant is not None
    }
    return min(only, key=lambda v: (*(v != one for one in _PREFERRED), v), default=None)


def folder_variant(folder: Path, name: str, *, without: Sequence[str] = ()) -> str | None:
    """See that a folder's files are a pipeline's and whole; the variant of its weights.

    Args:
        folder: in diffusers layout.
        name: the base's, for messages.
        without: components that are not read.
    Raises:
        CheckpointError: it is no such folder, its weights are pickles, or a file is what a
            download left.
    """
    if not (folder / "model_index.json").is_file():
        single = [path.name for path in sorted(folder.glob(f"*{WEIGHTS_SUFFIX}"))]
        hint = f"; if one of its files is the base, name it: {', '.join(single[:_SHOWN])}"
        raise CheckpointError(
            f"base model {name!r}: expected a pipeline in diffusers layout, but {folder} holds no "
            f"model_index.json{hint if single else ''}"
        )
    parts = [folder / part for part in ("unet", *ENCODERS) if part not in without]
    weights = [_weights(part) for part in parts]
    for part, found in zip(parts, weights, strict=True):
        _check_pickles(part, found, name)
    names = (file.relative_to(folder).as_posix() for files in weights for file in files)
    variant = weights_variant(names)
    odd = next((p for p in sorted(folder.glob("*/*")) if p.is_file() and "." not in p.name), None)
    if variant is not None and odd is not None:  # diffusers looks for the variant after the dot
        raise CheckpointError(
            f"base model {name!r}: diffusers cannot read a folder of {variant} weights with a file "
            f"without a suffix beside them: move {odd} elsewhere"
        )
    read = [file for files in weights for file in _of_variant(files, variant)]
    texts = (folder, *parts, *(folder / part for part in _SETTINGS))
    settings = [file for part in texts for file in sorted(part.glob("*"))]
    settings = [p for p in settings if p.suffix == ".json" or p.name == "merges.txt"]
    for file in (*settings, *read):
        if why := not_a_model_file(file):
            raise CheckpointError(f"base model {name!r}: {why}")
    return variant


def _of_variant(files: list[Path], variant: str | None) -> list[Path]:
    """Those of one component that load: of the variant where there are any, else the plain ones."""
    wanted = [file for file in files if f".{variant}" in file.name]
    return wanted or [file for file in files if file.name.count(".") == 1]


def numbers_stored(part: Path, variant: str | None) -> int:
    """How many numbers lie in the weights of one component that load, from their headers."""
    files = _of_variant(_weights(part), variant)
    return sum(prod(shape) for file in files for shape in tensor_shapes(file).values())


def _weights(part: Path) -> list[Path]:
    return sorted(part.glob(f"*{WEIGHTS_SUFFIX}"))


def _check_pickles(part: Path, found: list[Path], name: str) -> None:
    pickles = [file.name for file in sorted(part.glob("*")) if file.suffix in PICKLES]
    if pickles and not found:
        raise CheckpointError(
            f"base model {name!r}: {part} holds {pickles[0]} and no {WEIGHTS_SUFFIX} file; a "
            "pickle can run code and is not read: load it once where you trust it, and "
            "save_pretrained(folder) writes safetensors"
        )


def _cached(look: Callable[[], str]) -> Path | None:
    try:
        return Path(look())
    except (OSError, ValueError):  # not in the cache
        return None


def _is_hub_id(name: str) -> bool:
    return _HUB_ID.fullmatch(name) is not None and not name.endswith(WEIGHTS_SUFFIX)


def _hub_file(name: str) -> tuple[str, str | None, str] | None:
    """Repository, revision and path of a file of the hub."""
    text = name.removeprefix("https://").removeprefix("http://")
    endpoint = constants.ENDPOINT.partition("://")[2].rstrip("/") + "/"
    page = next((each for each in (endpoint, *_PAGES) if text.startswith(each)), "")
    match = _HUB_FILE.fullmatch(unquote(text.removeprefix(page)))
    if match is None or (not page and "://" in name):
        return None
    return match["repo"], match["revision"], match["file"]
