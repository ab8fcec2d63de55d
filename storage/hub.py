"""Adapters on the Hugging Face hub: what an id stands for on this disk, and pushing one there.

A repository holds a checkpoint's files, its marker COMPLETE.json and the model card. HF_ENDPOINT,
HF_TOKEN, HF_HOME and HF_HUB_OFFLINE mean what they mean everywhere.
"""

import os
import re
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from storage.checkpoints import COMPLETE_NAME, listed_files
from storage.errors import HubError

if TYPE_CHECKING:
    from huggingface_hub import HfApi

README = "README.md"
TIMEOUT_S = 10.0
MAIN = "main"

_ID = re.compile(r"(?P<repo>[\w][\w.-]*/[\w][\w.-]*)(@(?P<revision>[\w][\w./-]*))?")
_OFFLINE = "the hub was not asked, because HF_HUB_OFFLINE is set"
_SHOWN = 6  # files named in an error


def is_hub_id(text: str) -> bool:
    """Whether a name has the form ``owner/name[@revision]``; a local path of that form wins."""
    return _ID.fullmatch(text) is not None


def hub_place(text: str) -> str:
    """The folder on this disk that holds the adapter ``owner/name[@revision]``.

    A copy in the hub's cache is taken as it is, and nobody is asked; else the files that the
    marker lists are downloaded, once. The revision is a branch, a tag or a commit; main by default.

    Raises:
        HubError: unknown, unreachable, or no adapter; the message says what was tried or found.
    """
    from huggingface_hub import HfApi, constants

    repo, revision = _parts(text)
    cached = _cached(repo, revision)
    if cached is not None:
        return cached
    tried = f"folder {Path(text).resolve()}; hub cache {constants.HF_HUB_CACHE}"
    if constants.HF_HUB_OFFLINE:
        raise HubError(f"adapter {text!r} not found. Tried: {tried}; {_OFFLINE}")
    with _explained(f"adapter {text!r} not found. Tried: {tried}; hub {constants.ENDPOINT}"):
        api = HfApi()
        _check_files(text, _files(api, repo, revision))
        marker = api.hf_hub_download(repo, COMPLETE_NAME, revision=revision)
        wanted = [COMPLETE_NAME, README, *listed_files(os.path.dirname(marker))]
        return api.snapshot_download(repo, revision=revision, allow_patterns=wanted)


def is_cached(place: str) -> bool:
    """Whether a folder lies in the hub's cache, where nothing of ours is written."""
    from huggingface_hub import constants

    return "://" not in place and Path(place).is_relative_to(Path(constants.HF_HUB_CACHE))


def push_files(
    files: Mapping[str, bytes], repo: str, *, private: bool = False, revision: str | None = None
) -> str:
    """Put an adapter's files into a repository in one commit; a new repository where there is none.

    Args:
        files: by their paths; the marker and the card are among them.
        repo: ``owner/name``.
        private: of a new repository; one that is there and public is refused.
        revision: a branch, made where there is none; None: main.
    Returns:
        The commit's id.
    Raises:
        HubError: not logged in, no right to write, unreachable, or the repository holds something
            else. Nothing was written then.
    """
    from huggingface_hub import CommitOperationAdd, HfApi, constants, get_token

    if not is_hub_id(repo) or "@" in repo:
        raise HubError(f"push: expected owner/name, got {repo!r}")
    if constants.HF_HUB_OFFLINE:
        raise HubError(f"push to {repo}: {_OFFLINE}")
    if get_token() is None:
        raise HubError(f"push to {repo}: not logged in: run `hf auth login`, or set HF_TOKEN")
    with _explained(f"push to {repo}: hub {constants.ENDPOINT}"):
        api = HfApi()
        _check_target(api, repo, private=private)
        api.create_repo(repo, private=private, exist_ok=True)
        if revision not in (None, MAIN):
            api.create_branch(repo, branch=revision, exist_ok=True)
        commit = api.create_commit(
            repo,
            [CommitOperationAdd(path_in_repo=n, path_or_fileobj=c) for n, c in files.items()],
            commit_message="Push an adapter with hcp",
            revision=revision,
        )
    return commit.oid


def _parts(text: str) -> tuple[str, str]:
    match = _ID.fullmatch(text)
    if match is None:
        raise HubError(f"expected owner/name[@revision], got {text!r}")
    return match["repo"], match["revision"] or MAIN


def _cached(repo: str, revision: str) -> str | None:
    from huggingface_hub import try_to_load_from_cache

    marker = try_to_load_from_cache(repo, COMPLETE_NAME, revision=revision)
    if not isinstance(marker, str):
        return None
    folder = os.path.dirname(marker)  # an unfinished download has not all of the listed files
    whole = all(os.path.exists(os.path.join(folder, name)) for name in listed_files(folder))
    return folder if whole else None


def _files(api: "HfApi", repo: str, revision: str | None = None) -> list[str]:
    # One request with a timeout: the client's own downloads retry for minutes on a dead network.
    info = api.model_info(repo, revision=revision, timeout=TIMEOUT_S)
    return sorted(file.rfilename for file in info.siblings or [])


def _check_files(text: str, found: Iterable[str]) -> None:
    names = list(found)
    if COMPLETE_NAME not in names:
        raise HubError(
            f"{text} on the hub is no adapter: expected {COMPLETE_NAME} and the files that it "
            f"lists, found {_shown(names)}"
        )


def _check_target(api: "HfApi", repo: str, *, private: bool) -> None:
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        info = api.model_info(repo, timeout=TIMEOUT_S)
    except RepositoryNotFoundError:
        return
    names = sorted(file.rfilename for file in info.siblings or [])
    if COMPLETE_NAME not in names and set(names) - {".gitattributes", README}:
        raise HubError(f"push to {repo}: it holds something else: {_shown(names)}. Take a new name")
    if private and not info.private:
        raise HubError(
            f"push to {repo}: it is there and public, and --private makes new repositories private "
            "alone: change it in its settings on the hub, or take a new name"
        )


def _shown(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{more}" if names else "no file"


@contextmanager
def _explained(what: str) -> Generator[None]:
    """Errors of the hub's client inside are told as one sentence each."""
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        yield
    except HubError:
        raise
    except Exception as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        if isinstance(error, GatedRepoError):
            why = "is gated: accept its terms there, and set HF_TOKEN"
        elif isinstance(error, RevisionNotFoundError):
            why = "has no such revision"
        elif isinstance(error, RepositoryNotFoundError):
            why = "has no such repository, or it is private and no token that may read it is set"
        elif status == 401:
            why = "does not accept the token: run `hf auth login`, or set HF_TOKEN"
        elif status == 403:
            why = "says that this token has no right to do that"
        elif isinstance(error, HFValidationError):
            why = f"takes no such name ({error})"
        # The client's HTTP library changed with its major version; its connection errors share no
        # base class with ours.
        elif isinstance(error, HfHubHTTPError | OSError | RuntimeError) or (
            "http" in type(error).__module__
        ):
            why = f"could not be reached ({type(error).__name__}: {str(error)[:200]})"
        else:
            raise
        raise HubError(f"{what} {why}") from error
