"""One lock per root: what writes into a data set waits for what already does, wherever it runs."""

import hashlib
import os
import re

from storage.layout import Root
from storage.locations import is_local

LOCK_PREFIX = "hcp-root"


def lock_name(root: str) -> str:
    """The global concurrency limit of a root: readable, and the same for every spelling of it."""
    uri = Root.of(root).uri
    place = os.path.realpath(uri) if is_local(uri) else uri
    digest = hashlib.sha256(place.encode()).hexdigest()[:8]
    readable = re.sub(r"[^A-Za-z0-9._-]+", "-", place).strip("-")[-40:].lstrip("-")
    return f"{LOCK_PREFIX}-{readable}-{digest}"  # Prefect allows no slash in a name


def make_lock(name: str) -> bool:
    """Make a lock on the Prefect server; whether it was not there before."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
    from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound

    with get_client(sync_client=True) as client:
        try:
            client.read_global_concurrency_limit_by_name(name)
            return False
        except ObjectNotFound:
            pass
        try:
            client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=name, limit=1))
        except ObjectAlreadyExists:
            return False
    return True
